"""Progress without a terminal: one log line per epoch."""

import logging
import time

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_only

logger = logging.getLogger("mmpkd")


class EpochLog(Callback):
    """Logs epoch, loss, validation score and remaining time after every epoch."""

    def __init__(self) -> None:
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
            names.append("val/auroc_macro")
        parts = ", ".join(f"{name} {metrics[name]:.4f}" for name in names if name in metrics)
        done = trainer.current_epoch + 1
        total = trainer.max_epochs
        # a run with `max_steps` may have no number of epochs
        if total is None or total < 0:
            logger.info("epoch %d: %s; step %d of %d", done, parts, trainer.global_step, trainer.max_steps)
            return
        left = (time.monotonic() - self._start) / (done - self._first_epoch) * max(total - done, 0)
        logger.info("epoch %d of %d: %s; %.0f s left", done, total, parts, left)
