"""The callbacks and loggers of every run."""

import os

from lightning.pytorch import Callback
from lightning.pytorch.callbacks import RichProgressBar
from lightning.pytorch.loggers import Logger

from mmpkd.callbacks.checkpoints.best_checkpoint import BestCheckpoint
from mmpkd.callbacks.checkpoints.last_checkpoint import LastCheckpoint
from mmpkd.callbacks.checkpoints.last_validation import LastValidation
from mmpkd.callbacks.checkpoints.resumed_loops import ResumedLoops
from mmpkd.callbacks.checkpoints.rng import RNGState
from mmpkd.callbacks.checkpoints.signals import StopTogether
from mmpkd.callbacks.data_check import DataCheck
from mmpkd.callbacks.label_check import LabelCheck
from mmpkd.callbacks.nan_guard import NaNGuard
from mmpkd.callbacks.predictions import PredictionWriter
from mmpkd.callbacks.progress import EpochLog
from mmpkd.callbacks.record import RunRecord
from mmpkd.callbacks.teacher_card import TeacherCardWriter
from mmpkd.callbacks.threads import Threads
from mmpkd.cli.checks.trainer_parts import users_loggers
from mmpkd.cli.run_options import RunOptions
from mmpkd.records import RunFolder
from mmpkd.tracking.hidden_paths import run_name
from mmpkd.tracking.metrics_file import MetricsFile
from mmpkd.tracking.wandb import wandb_logger


def run_callbacks(run: RunOptions, folder: RunFolder, seed: int, has_bar: bool) -> list[Callback]:
    """Return the callbacks of a run, in the order in which Lightning calls them.

    Args:
        run: Options of the run.
        folder: Folder of the run.
        seed: Seed of the run.
        has_bar: Whether there is a progress bar; otherwise one line per epoch is logged.
    """
    # a study checks its data once, before its first run
    checks = [] if run.study else [DataCheck()]
    return [
        BestCheckpoint(folder.checkpoints, run.monitor),
        LastCheckpoint(folder, run.save_every_n_minutes, run.save_every_n_steps),
        *checks,
        LabelCheck(run.monitor),
        LastValidation(),
        RNGState(seed),
        Threads(),
        NaNGuard(),
        PredictionWriter(),
        RunRecord(seed, run.job_type, run.study),
        ResumedLoops(),
        StopTogether(),
        TeacherCardWriter(run.reference),
        RichProgressBar(leave=False) if has_bar else EpochLog(folder if run.study else None),
    ]


def run_loggers(run: RunOptions, folder: RunFolder, configured: object) -> list[Logger]:
    """Return the loggers of a run: `metrics.csv`, W&B, and those of the user.

    Args:
        run: Options of the run.
        folder: Folder of the run.
        configured: `trainer.logger`: a logger, several, or a bool; False disables all loggers.
    """
    if configured is False:
        return []
    tracker = wandb_logger(
        folder.path,
        run.wandb,
        run.project,
        os.environ.get("WANDB_NAME") or run_name(folder.path),
        run.group,
        run.job_type,
        run.tags,
        run.media,
        run.system_metrics,
    )
    return [MetricsFile(folder), *([tracker] if tracker else []), *users_loggers(configured)]
