"""Display of a study's progress while its runs are made."""
