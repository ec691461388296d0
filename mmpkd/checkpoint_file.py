"""Read the checkpoint of a student or of a teacher."""

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor


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
        reason = str(error).split(". ")[0].strip()  # what follows is advice to trust the file
        raise ValueError(
            f"Expected the checkpoint of a {kind} but '{path}' cannot be read as one: {reason}."
        ) from error
    if key not in saved:
        raise ValueError(f"Expected the checkpoint of a {kind} but '{path}' holds {sorted(saved)}.")
    return saved


def check_layers(own: Mapping[str, Tensor], saved: Mapping[str, Tensor], kind: str) -> None:
    """Check that the weights of a checkpoint are those of a model.

    Args:
        own: Weights of the model by name.
        saved: Weights in the checkpoint.
        kind: Kind of model, for messages.

    Raises:
        ValueError: If a name is missing on one side, or shapes differ.
    """
    names = sorted(own.keys() | saved.keys())
    different = [name for name in names if _shape(own, name) != _shape(saved, name)]
    if different:
        name = different[0]
        raise ValueError(
            f"Expected the {kind} that the checkpoint was made of but {len(different)} of the weights differ, first of all "
            f"{name}: {_shape(saved, name) or 'none'} in the checkpoint, {_shape(own, name) or 'none'} here. Give the "
            "settings of the model as in the run's config.yaml."
        )


def _shape(weights: Mapping[str, Tensor], name: str) -> tuple[int, ...] | None:
    return tuple(weights[name].shape) if name in weights else None
