"""Which student was taught by which teacher: W&B artifacts by the hash of the checkpoint, without weights."""

import logging
from collections.abc import Iterable, Mapping
from typing import Any

from lightning.pytorch.loggers import Logger, WandbLogger

from data_modules.json_file import json_text
from mmpkd.tracking.hidden_paths import hide_paths

logger = logging.getLogger("mmpkd")


def artifact_name(sha256: str) -> str:
    """Return the name of a teacher's artifact."""
    return f"teacher-{sha256[:12]}"


def log_teacher(loggers: Iterable[Logger], sha256: str, lineage: Mapping[str, Any]) -> None:
    """Record that a run has made a teacher.

    Args:
        loggers: Loggers of the run.
        sha256: Hash of the teacher's checkpoint.
        lineage: What it was made from; primitives.
    """
    for tracker in loggers:
        if isinstance(tracker, WandbLogger):
            import wandb

            shown = hide_paths({"sha256": sha256, **lineage})
            artifact = wandb.Artifact(artifact_name(sha256), "teacher", metadata=shown)
            with artifact.new_file("lineage.json") as file:
                file.write(json_text(shown))
            tracker.experiment.log_artifact(artifact)


def use_teacher(loggers: Iterable[Logger], sha256: str) -> None:
    """Record that a run learns from a teacher; offline, its configuration says so, since wandb can use artifacts only online.

    Args:
        loggers: Loggers of the run.
        sha256: Hash of the teacher's checkpoint.
    """
    for tracker in loggers:
        if isinstance(tracker, WandbLogger) and not tracker.experiment.offline:
            import wandb

            try:
                tracker.experiment.use_artifact(f"{artifact_name(sha256)}:latest")
            except (wandb.errors.Error, ValueError) as error:
                logger.warning(
                    "W&B does not know the teacher %s (%s). Was its run online?", artifact_name(sha256), error
                )
