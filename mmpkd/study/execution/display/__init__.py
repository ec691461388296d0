"""What a study shows while its runs are made."""
