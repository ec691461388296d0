"""The Lightning command line: its parsers, options, messages and errors."""
