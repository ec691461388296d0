"""Checkpoints: the best, the last, and how a training goes on from one."""
