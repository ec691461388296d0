"""Corrections of Lightning's counters after a resume."""

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from mmpkd.tracking.metrics_file import MetricsFile


class ResumedLoops(Callback):
    """Makes a resumed training count epochs, batches and steps as if it had not been interrupted."""

    def __init__(self) -> None:
        self._next_step: int | None = None

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Check that the run has not already trained for more than `trainer.max_epochs`.

        Raises:
            ValueError: If it has.
        """
        del pl_module
        done: int = checkpoint["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"]
        wanted = trainer.max_epochs
        if trainer.training and wanted is not None and 0 <= wanted < done:
            raise ValueError(
                f"Expected trainer.max_epochs of at least {done}, the number of epochs trained so far, but got {wanted}."
            )

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Save an epoch that ended early, by `max_steps` or early stopping, as unfinished."""
        del pl_module
        loop = trainer.fit_loop
        progress = checkpoint["loops"]["fit_loop"]["epoch_progress"]
        batch: int = loop.epoch_loop.batch_progress.current.processed  # type: ignore[attr-defined]
        # Lightning counts the epoch as processed, although it has batches left
        if progress["current"]["processed"] > progress["current"]["completed"] and batch < loop.max_batches:
            for counter in (progress["current"], progress["total"]):
                counter["processed"] -= 1

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Finish an epoch that was saved at its end, and remove the metrics of steps that are repeated."""
        del pl_module
        loop = trainer.fit_loop
        if loop.restarted_on_epoch_end and trainer.max_steps != -1:
            _finish_epoch(trainer)
        batch = loop.epoch_loop.batch_progress.current
        # a checkpoint within an epoch contains the step of its own batch, one after an epoch the step of the next batch
        is_inside = batch.completed < batch.processed  # type: ignore[attr-defined]
        self._next_step = loop.epoch_loop._batches_that_stepped + is_inside
        for tracker in trainer.loggers:
            if isinstance(tracker, MetricsFile):
                tracker.keep(self._next_step - 1)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: object, batch_idx: int) -> None:
        """Continue the numbering of steps. Lightning would skip some numbers and use others twice."""
        del pl_module, batch, batch_idx
        if self._next_step is not None:
            trainer.fit_loop.epoch_loop._batches_that_stepped = self._next_step
            self._next_step = None


def _finish_epoch(trainer: Trainer) -> None:
    """Move on to the next epoch. With `max_steps`, Lightning would run the finished one again without any batch."""
    loop = trainer.fit_loop
    loop.epoch_progress.increment_completed()
    loop.epoch_progress.current.completed = loop.epoch_progress.current.processed  # type: ignore[attr-defined]
    inner = loop.epoch_loop
    for part in (loop, inner, inner.val_loop, inner.automatic_optimization, inner.manual_optimization):
        part._restarting = False
    loop.reset_restart_stage()
    inner.reset_restart_stage()
