"""Checkpoints: the best, the last, and an exact resume."""
