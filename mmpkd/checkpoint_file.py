"""Read the checkpoint of a student or of a teacher."""

import pickle
from pathlib import Path
from typing import Any

import torch


def read_checkpoint(path: Path, key: str, kind: str) -> dict[str, Any]:
    """Return what a checkpoint holds: tensors and primitives.

    Args:
        path: `checkpoints/best.ckpt` of a run.
        key: Key that only checkpoints of this kind have.
        kind: Kind of model, for messages.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no checkpoint, or one of another kind.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"Expected the checkpoint of a {kind} at '{path}' but there is none. Train the {kind} first."
        )
    try:
        saved: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, KeyError, RuntimeError, EOFError) as error:
        raise ValueError(f"Expected the checkpoint of a {kind} but '{path}' cannot be read as one: {error}.") from error
    if key not in saved:
        raise ValueError(f"Expected the checkpoint of a {kind} but '{path}' holds {sorted(saved)}.")
    return saved
