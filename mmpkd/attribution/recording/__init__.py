"""Attention as a student computes it, recorded from its forward pass."""
