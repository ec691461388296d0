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

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        del pl_module
        self._start, self._first_epoch = time.monotonic(), trainer.current_epoch

    @rank_zero_only
    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log one line."""
        del pl_module
        metrics = trainer.callback_metrics
        parts = [f"{name} {metrics[name]:.4f}" for name in ("train/loss", "val/auroc_macro") if name in metrics]
        done = trainer.current_epoch + 1
        elapsed = time.monotonic() - self._start
        left = elapsed / (done - self._first_epoch) * max((trainer.max_epochs or done) - done, 0)
        logger.info("epoch %d of %s: %s; %.0f s left", done, trainer.max_epochs, ", ".join(parts), left)
