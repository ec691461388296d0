"""Loggers: metrics in a file beside the run, and Weights & Biases, offline by default."""

from mmpkd.tracking.metrics_file import MetricsFile
from mmpkd.tracking.wandb import finish_wandb, wandb_logger

__all__ = ["MetricsFile", "finish_wandb", "wandb_logger"]
