"""Loggers: metrics in a file beside the run, and Weights & Biases. Import from the submodules; `account` stays light."""
