"""Progress without a terminal: one log line per epoch, and for a study a file that says how far the run is."""

import logging
import time
from dataclasses import asdict

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_only

from data_modules.files.json_file import write_json
from mmpkd.records import RunFolder
from mmpkd.records.run_progress import RunProgress

logger = logging.getLogger("mmpkd")
_SCORE = "val/auroc_macro"


class EpochLog(Callback):
    """Logs epoch, loss, validation score and remaining time after every epoch.

    Args:
        folder: Folder of the run, where they are written, too, or None to log them only.
    """

    def __init__(self, folder: RunFolder | None = None) -> None:
        self._folder = folder
        self._start = 0.0
        self._first_epoch = 0
        self._validated_epoch = -1

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        del pl_module
        self._start = time.monotonic()
        self._first_epoch = trainer.current_epoch

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Remember that this epoch has a score. Without validation, the trainer keeps the score of an earlier epoch."""
        del pl_module
        self._validated_epoch = trainer.current_epoch

    @rank_zero_only
    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log one line."""
        del pl_module
        metrics = trainer.callback_metrics
        names = ["train/loss"]
        if self._validated_epoch == trainer.current_epoch:
            names.append(_SCORE)
        parts = ", ".join(f"{name} {metrics[name]:.4f}" for name in names if name in metrics)
        progress = self._progress(trainer)
        if self._folder is not None:
            write_json(self._folder.progress, asdict(progress))
        if progress.epochs is None:
            logger.info("epoch %d: %s; step %d of %d", progress.epoch, parts, trainer.global_step, trainer.max_steps)
        else:
            logger.info(
                "epoch %d of %d: %s; %.0f s left", progress.epoch, progress.epochs, parts, progress.seconds_left
            )

    def _progress(self, trainer: Trainer) -> RunProgress:
        done = trainer.current_epoch + 1
        total = trainer.max_epochs
        score = trainer.callback_metrics.get(_SCORE)
        value = None if score is None else float(score)
        # a run with `max_steps` may have no number of epochs
        if total is None or total < 0:
            return RunProgress(done, score=value)
        # the pace of this process: epochs before a resume are not part of its time
        left = (time.monotonic() - self._start) / (done - self._first_epoch) * max(total - done, 0)
        return RunProgress(done, total, value, round(left, 1))
