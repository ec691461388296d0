"""Progress where there is no terminal: one log line an epoch."""

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
        self._start, self._first_epoch = time.monotonic(), trainer.current_epoch

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note which epoch has a score: the trainer keeps that of an earlier one."""
        del pl_module
        self._validated_epoch = trainer.current_epoch

    @rank_zero_only
    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log one line."""
        del pl_module
        metrics, epoch = trainer.callback_metrics, trainer.current_epoch
        names = ["train/loss", *(["val/auroc_macro"] if self._validated_epoch == epoch else [])]
        parts = ", ".join(f"{name} {metrics[name]:.4f}" for name in names if name in metrics)
        done, total = epoch + 1, trainer.max_epochs
        if total is None or total < 0:
            logger.info("epoch %d: %s; step %d of %d", done, parts, trainer.global_step, trainer.max_steps)
            return
        left = (time.monotonic() - self._start) / (done - self._first_epoch) * max(total - done, 0)
        logger.info("epoch %d of %d: %s; %.0f s left", done, total, parts, left)
