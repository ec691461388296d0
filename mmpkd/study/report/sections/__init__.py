"""The parts of a report about arms that were tested on the same images, one file a part."""
