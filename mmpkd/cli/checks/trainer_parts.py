"""Checks of the plugins and loggers that the user has configured."""

from typing import Any

from lightning.fabric.plugins import CheckpointIO
from lightning.pytorch.loggers import Logger, WandbLogger

from mmpkd.cli.checks.callbacks import as_list


def users_plugins(configured: object) -> list[Any]:
    """Return the plugins that the user has configured.

    Args:
        configured: `trainer.plugins`: a plugin, several, or None.

    Raises:
        ValueError: If one of them writes checkpoints.
    """
    plugins = as_list(configured)
    if any(isinstance(plugin, CheckpointIO) for plugin in plugins):
        raise ValueError(
            "Expected no CheckpointIO in trainer.plugins but got one: a run has its own, which writes atomically. Leave it out."
        )
    return plugins


def users_loggers(configured: object) -> list[Logger]:
    """Return the loggers that the user has configured, in addition to `metrics.csv` and W&B.

    Args:
        configured: `trainer.logger`: a logger, several, or a bool.

    Raises:
        ValueError: If one of them is a `WandbLogger`.
    """
    loggers = [] if isinstance(configured, bool) else as_list(configured)
    if any(isinstance(logger, WandbLogger) for logger in loggers):
        raise ValueError(
            "Expected no WandbLogger in trainer.logger but got one: every run has its own, which does not upload paths or "
            "patient data. Set --run.wandb and --run.project."
        )
    return loggers
