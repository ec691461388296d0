"""From image files and annotations to the frame of the network."""
