"""Lineage of teachers and students in W&B: artifacts named by the hash of a checkpoint, without weights."""

import logging
from collections.abc import Iterable, Mapping
from typing import Any

from lightning.pytorch.loggers import Logger, WandbLogger

from data_modules.files.json_file import json_text
from mmpkd.tracking.hidden_paths import hide_paths

logger = logging.getLogger("mmpkd")


def artifact_name(sha256: str) -> str:
    """Return the name of a teacher's artifact, given the hash of its checkpoint."""
    return f"teacher-{sha256[:12]}"


def log_teacher(loggers: Iterable[Logger], sha256: str, lineage: Mapping[str, Any]) -> None:
    """Log a trained teacher as an artifact of its run.

    Args:
        loggers: Loggers of the run.
        sha256: Hash of the teacher's checkpoint.
        lineage: Lineage of the run, as strings, numbers, lists and mappings.
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
    """Log that a run uses a teacher's artifact.

    This works online only. Offline, only the configuration of the run contains the teacher's hash.

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
                    "W&B has no artifact %s of the teacher (%s). Was its run online?", artifact_name(sha256), error
                )
