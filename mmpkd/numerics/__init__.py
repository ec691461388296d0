"""What decides digits: precision, random generators, threads."""
