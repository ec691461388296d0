"""The checkpoint callback that chooses what is tested."""

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Checkpoint

from mmpkd.callbacks.best_checkpoint import BestCheckpoint


def best_checkpoint(trainer: Trainer) -> Checkpoint | None:
    """Return the run's own `BestCheckpoint`, whatever others the user has added; without one, what Lightning takes."""
    own = (callback for callback in trainer.checkpoint_callbacks if isinstance(callback, BestCheckpoint))
    return next(own, trainer.checkpoint_callback)
