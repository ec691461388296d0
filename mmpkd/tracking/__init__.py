"""Loggers: a file of metrics in the run folder, and Weights & Biases. `account` imports nothing that is slow."""
