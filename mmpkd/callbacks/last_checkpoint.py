"""The checkpoint that an interrupted run goes on from."""

from pathlib import Path

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.utilities.exceptions import SIGTERMException


class LastCheckpoint(Checkpoint):
    """Saves `last.ckpt` every so many steps, after every epoch, and when the scheduler of a cluster stops the job.

    Every save is at a boundary between two steps, which an exact resume needs. After Ctrl-C or an error, the last of them
    stays.

    It must come after `BestCheckpoint`, whose score it saves. Lightning moves all `Checkpoint` callbacks
    behind the others, in their order; that is why this is one of them.

    A fit without any training batch (`trainer.limit_train_batches=0`) saves the untrained model as `best.ckpt`.

    Args:
        folder: Folder of the checkpoints.
        every_n_steps: Steps between saves inside an epoch.
    """

    def __init__(self, folder: Path, every_n_steps: int) -> None:
        if every_n_steps < 1:
            raise ValueError(f"Expected at least 1 step between saves but got {every_n_steps}.")
        self.path, self.every_n_steps = folder / "last.ckpt", every_n_steps

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        """Save if the step is due; the last step of an epoch is saved after validation."""
        del pl_module, outputs, batch
        if (batch_idx + 1) % self.every_n_steps == 0 and not trainer.is_last_batch:
            self._save(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save after an epoch."""
        del pl_module
        self._save(trainer)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the model of a fit that had nothing to train on by intention."""
        del pl_module
        if trainer.limit_train_batches == 0:
            trainer.save_checkpoint(self.path.with_name("best.ckpt"))

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Save when SIGTERM stopped the training; Lightning raises between two steps then."""
        del pl_module
        if isinstance(exception, SIGTERMException) and trainer.training:
            self._save(trainer)

    def _save(self, trainer: Trainer) -> None:
        trainer.save_checkpoint(self.path)
