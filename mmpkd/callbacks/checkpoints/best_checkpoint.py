"""The checkpoint with the best validation score."""

import logging
from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Checkpoint, ModelCheckpoint

from mmpkd.records.checkpoint import load

logger = logging.getLogger("mmpkd")


class BestCheckpoint(ModelCheckpoint):
    """Saves `best.ckpt` whenever the monitored score exceeds all earlier ones.

    A resumed run keeps its best score, even if its folder was moved or mounted elsewhere. (The state of Lightning's own callback
    contains absolute paths and is dropped when they change.) The score is kept only if it belongs to the `best.ckpt` in the
    folder. It is forgotten if that file is missing, as in the new folder of a run that continues from another run's checkpoint;
    if it is damaged; or if it belongs to a later step than the checkpoint, which the resumed training has yet to reach.

    Args:
        folder: Folder of the checkpoints.
        monitor: Name of the score.
    """

    def __init__(self, folder: Path, monitor: str) -> None:
        super().__init__(
            folder,
            "best",
            monitor,
            mode="max",
            # by default, Lightning may save at the end of the training epoch, after which another validation can follow
            save_on_train_epoch_end=False,
            enable_version_counter=False,  # one `best.ckpt` that is replaced, not best-v1.ckpt beside it
        )

    def state_dict(self) -> dict[str, Any]:
        """Return the state, with the step of the best model."""
        # a resumed run needs it to recognise a `best.ckpt` from after the checkpoint
        return {**super().state_dict(), "best_step": self._last_global_step_saved}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load the state with paths in the current folder, if the best model is there."""
        folder = Path(str(self.dirpath))
        name = Path(state_dict["best_model_path"]).name
        best = folder / name
        if not name or not best.is_file():
            return
        try:
            # memory-mapped, because only the step is read
            saved = load(best, mmap=True)
        except ValueError:
            logger.warning("'%s' is damaged. The best model is chosen again from now on.", best)
            return
        if saved["global_step"] == state_dict["best_step"]:
            super().load_state_dict(_moved(state_dict, folder))
            # Lightning does not restore it
            self._last_global_step_saved = state_dict["best_step"]


def best_checkpoint(trainer: Trainer) -> Checkpoint | None:
    """Return the run's `BestCheckpoint`, even if the user has added other callbacks, or else Lightning's default."""
    own = (callback for callback in trainer.checkpoint_callbacks if isinstance(callback, BestCheckpoint))
    return next(own, trainer.checkpoint_callback)


def _moved(state: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return the state of a callback with all of its paths in another folder."""

    def here(path: str) -> str:
        return str(folder / Path(path).name) if path else path

    paths = ("best_model_path", "kth_best_model_path", "last_model_path")
    return {
        **state,
        **{name: here(state[name]) for name in paths},
        "best_k_models": {here(path): score for path, score in state["best_k_models"].items()},
        "dirpath": str(folder),
    }
