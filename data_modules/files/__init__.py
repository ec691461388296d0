"""Files that are written whole, read strictly, and found."""
