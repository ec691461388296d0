"""The checkpoint of the best validation score."""

import logging
from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Checkpoint, ModelCheckpoint

from mmpkd.records.checkpoint import load

logger = logging.getLogger("mmpkd")


class BestCheckpoint(ModelCheckpoint):
    """Saves `best.ckpt` when the monitored score, higher is better, rises above all before it.

    A run that goes on remembers its best score, also after its folder was moved or mounted elsewhere: the state of Lightning's
    own callback holds absolute paths, and is dropped when they changed. The score is that of `best.ckpt`, or it is forgotten: if
    the file is damaged, or of a later step than the checkpoint knows, which the training has not made or makes again. A
    checkpoint that another run goes on from, in a folder of its own that has no `best.ckpt` yet, brings no score along.

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
            # Lightning's own choice may be the end of the epoch, after which there can be another validation
            save_on_train_epoch_end=False,
            enable_version_counter=False,
        )

    def state_dict(self) -> dict[str, Any]:
        """Return the state, with the step of the best model."""
        return {**super().state_dict(), "best_step": self._last_global_step_saved}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the state over, with the paths of this folder if it holds the best model."""
        folder = Path(str(self.dirpath))
        name = Path(state_dict["best_model_path"]).name
        best = folder / name
        if not name or not best.is_file():
            return
        try:
            saved = load(best, mmap=True)
        except ValueError:
            logger.warning("'%s' is damaged. The best model is chosen anew.", best)
            return
        if saved["global_step"] == state_dict["best_step"]:
            super().load_state_dict(_moved(state_dict, folder))
            self._last_global_step_saved = state_dict["best_step"]


def best_checkpoint(trainer: Trainer) -> Checkpoint | None:
    """Return the run's own `BestCheckpoint`, whatever others the user has added; without one, what Lightning takes."""
    own = (callback for callback in trainer.checkpoint_callbacks if isinstance(callback, BestCheckpoint))
    return next(own, trainer.checkpoint_callback)


def _moved(state: dict[str, Any], folder: Path) -> dict[str, Any]:
    def here(path: str) -> str:
        return str(folder / Path(path).name) if path else path

    paths = ("best_model_path", "kth_best_model_path", "last_model_path")
    return {
        **state,
        **{name: here(state[name]) for name in paths},
        "best_k_models": {here(path): score for path, score in state["best_k_models"].items()},
        "dirpath": str(folder),
    }
