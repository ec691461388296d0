"""Loggers: metrics in a file beside the run, and Weights & Biases, online for those who are logged in."""

from mmpkd.tracking.metrics_file import MetricsFile
from mmpkd.tracking.wandb import finish_wandb, sweep_folder, wandb_logger

__all__ = ["MetricsFile", "finish_wandb", "sweep_folder", "wandb_logger"]
