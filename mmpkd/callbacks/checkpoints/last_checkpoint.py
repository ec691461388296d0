"""The checkpoint from which an interrupted run resumes."""

import time

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.utilities.exceptions import SIGTERMException

from mmpkd.callbacks.checkpoints.step_boundary import StepBoundary
from mmpkd.records import RunFolder

# processes have to agree on the time, which costs a broadcast
STEPS_BETWEEN_CLOCK_CHECKS = 50


class LastCheckpoint(Checkpoint):
    """Saves `last.ckpt` at regular intervals, after every epoch, and when a cluster's scheduler stops the job.

    A resume is exact only from a boundary between two optimizer steps after which no validation is due. A save that is due at
    another time waits for the next boundary. If the job is stopped while gradients are accumulated, the state at the last
    boundary is saved. If it is stopped during or just before a validation, or by Ctrl-C or an error, the previous save is kept.

    This callback must come after `BestCheckpoint`, whose score it saves. It is a `Checkpoint` because Lightning moves those to
    the end of the list of callbacks and keeps their order.

    A fit without training batches (`trainer.limit_train_batches=0`) saves the untrained model as `best.ckpt`.

    Args:
        folder: Folder of the run.
        every_n_minutes: Minutes between saves within an epoch, by the clock of the first process, checked every 50 steps.
        every_n_steps: Number of optimizer steps between saves, used instead of minutes, or None.

    Raises:
        ValueError: If an interval is not positive.
    """

    def __init__(self, folder: RunFolder, every_n_minutes: float = 10, every_n_steps: int | None = None) -> None:
        if every_n_steps is not None and every_n_steps < 1:
            raise ValueError(f"Expected at least 1 step between saves but got {every_n_steps}.")
        if not every_n_minutes > 0:
            raise ValueError(f"Expected more than 0 minutes between saves but got {every_n_minutes}.")
        self.folder = folder
        self.every_n_minutes = every_n_minutes
        self.every_n_steps = every_n_steps
        self._saved_at = 0.0
        self._num_steps = 0
        self._is_due = False
        self._is_current = False
        self._boundary: StepBoundary | None = None

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the untrained model if the fit is configured without training batches."""
        del pl_module
        if trainer.limit_train_batches == 0:
            trainer.save_checkpoint(self.folder.best)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        del pl_module
        self._saved_at = time.monotonic()
        self._num_steps = trainer.global_step

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: object, batch_idx: int) -> None:
        """Remember that `last.ckpt` is no longer up to date."""
        del trainer, pl_module, batch, batch_idx
        self._is_current = False

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        """Save if a save is due and possible here. The last step of an epoch is saved after its validation."""
        del outputs, batch, batch_idx
        if trainer.global_step == self._num_steps:
            return  # gradients are being accumulated
        self._num_steps = trainer.global_step
        self._is_due = self._is_due or self._is_time(trainer)
        if trainer.is_last_batch or _validates_now(trainer):
            # a run that resumes from here would skip the validation
            self._boundary = None
        elif self._is_due:
            self._save(trainer)
        elif trainer.accumulate_grad_batches > 1:
            self._boundary = StepBoundary.take(trainer, pl_module)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save after an epoch."""
        del pl_module
        self._save(trainer)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Save if SIGTERM has stopped the training, which Lightning does between two batches."""
        del pl_module
        if not isinstance(exception, SIGTERMException) or not trainer.training or self._is_current:
            return
        if not trainer.fit_loop.epoch_loop._should_accumulate():
            self._save(trainer)
        elif self._boundary is not None:
            # the steps of `trainer.save_checkpoint`, with the state at the boundary
            trainer.strategy.save_checkpoint(self._boundary.checkpoint(trainer), self.folder.last)
            trainer.strategy.barrier()

    def _is_time(self, trainer: Trainer) -> bool:
        """Return whether it is time for another save."""
        if self.every_n_steps is not None:
            return trainer.global_step % self.every_n_steps == 0
        if trainer.global_step % STEPS_BETWEEN_CLOCK_CHECKS:
            return False
        passed = time.monotonic() - self._saved_at
        # the first process decides: clocks differ, and all have to save together
        return trainer.strategy.broadcast(passed >= 60 * self.every_n_minutes)

    def _save(self, trainer: Trainer) -> None:
        trainer.save_checkpoint(self.folder.last)
        self._saved_at = time.monotonic()
        self._is_due = False
        self._is_current = True
        self._boundary = None


def _validates_now(trainer: Trainer) -> bool:
    """Return whether a validation follows the current batch."""
    loop = trainer.fit_loop
    assert loop._data_fetcher is not None
    return loop.epoch_loop._should_check_val_fx(loop._data_fetcher)
