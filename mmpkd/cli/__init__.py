"""The Lightning command line: parsers, options, messages and errors."""
