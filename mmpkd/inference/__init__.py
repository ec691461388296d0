"""A trained student on image files."""
