"""Loggers: a file of metrics in the run folder, and Weights & Biases. `account` is fast to import."""
