"""Find files, read them strictly, and write them atomically."""
