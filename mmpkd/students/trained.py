"""Trained students, loaded from the checkpoints of their runs."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from data_modules.images.geometry import Placement
from data_modules.images.preparation import Preparation
from mmpkd.records.checkpoint import checkpoint_of, load_of_kind
from mmpkd.students.vit import VisionTransformerStudent


@dataclass(frozen=True)
class TrainedStudent:
    """A student with everything needed to apply it to new images.

    Attributes:
        student: The network, in eval mode.
        label_names: Names of the K labels, in the order of the logits.
        thresholds: Float (K,), probabilities with the best F1 on the validation split.
        preparation: How image files are read. None if the student was trained with a data module of the user's own or with data
            loaders, because the checkpoint then does not say.
    """

    student: VisionTransformerStudent
    label_names: tuple[str, ...]
    thresholds: Tensor
    preparation: Preparation | None

    def read(self, path: Path) -> tuple[NDArray[np.float32], Placement]:
        """Read an image file in the same way as in training.

        Returns:
            Grey values, float32 (image_size, image_size) in [0, 1], and the placement of the file's image in this frame.

        Raises:
            ImageReadError: If the file cannot be read completely.
            ValueError: If it is unknown how files were read in training.
        """
        return self.known_preparation(path)

    @property
    def known_preparation(self) -> Preparation:
        """How files become images.

        Raises:
            ValueError: If it is not known.
        """
        if self.preparation is None:
            raise ValueError(
                "Expected a student trained with a data module of `data_modules`, which says how to read files, but this one was "
                "trained with another data module or with data loaders. Read and normalise the images yourself, and call the "
                "student."
            )
        return self.preparation

    def normalised(self, pixels: NDArray[np.float32]) -> Tensor:
        """Normalise grey values (H, W) in [0, 1] for the student and return float32 (1, 1, H, W)."""
        mean = np.float32(self.student.mean)
        std = np.float32(self.student.std)
        return torch.from_numpy((pixels - mean) / std)[None, None]


def load_student(checkpoint: str | Path) -> VisionTransformerStudent:
    """Load a trained student in eval mode from a checkpoint of a run. The teacher is not needed.

    Args:
        checkpoint: Folder of a baseline or distilled run, its `checkpoints/best.ckpt`, or a folder that `mmpkd export` wrote.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the checkpoint is not one of a student.
    """
    return _student_of(_read(checkpoint))


def load_trained_student(checkpoint: str | Path) -> TrainedStudent:
    """Load a trained student together with its labels, its thresholds and the way it reads images.

    Args:
        checkpoint: Folder of a baseline or distilled run, its `checkpoints/best.ckpt`, or a folder that `mmpkd export` wrote.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the checkpoint is not one of a student, or its description names classes that are not allowed.
    """
    saved = _read(checkpoint)
    described = saved["input"]["preparation"]
    return TrainedStudent(
        _student_of(saved),
        tuple(saved["label_names"]),
        saved["state_dict"]["scores.thresholds"].float(),
        None if described is None else Preparation.from_description(described),
    )


def untrained_student(checkpoint: str | Path) -> VisionTransformerStudent:
    """Build the student that a checkpoint describes, with random weights.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the checkpoint is not one of a student.
    """
    return _untrained(_read(checkpoint, mmap=True))


def student_labels(checkpoint: Path) -> tuple[str, ...]:
    """Return the labels that a student was trained on, in the order of its logits.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the checkpoint is not one of a student.
    """
    return tuple(_read(checkpoint, mmap=True)["label_names"])


def check_student_input(checkpoint: Path, image_size: int, mean: float, std: float) -> None:
    """Check that a student was trained on images of the same size and normalisation.

    Args:
        checkpoint: Checkpoint of the student.
        image_size: Side of the images in pixels.
        mean: Mean that grey values in [0, 1] are normalised with.
        std: Standard deviation that they are normalised with.

    Raises:
        ValueError: If size or normalisation differ.
    """
    saved = _read(checkpoint, mmap=True)
    expected = {"image_size": saved["student"]["image_size"], **{key: saved["input"][key] for key in ("mean", "std")}}
    found = {"image_size": image_size, "mean": mean, "std": std}
    if found != expected:
        raise ValueError(
            f"Expected images like the training images of the student of '{checkpoint}', {expected}, but the data have {found}."
        )


def _read(checkpoint: str | Path, mmap: bool = False) -> dict[str, Any]:
    return load_of_kind(checkpoint_of(Path(checkpoint)), "student", "student", mmap)


def _untrained(saved: Mapping[str, Any]) -> VisionTransformerStudent:
    seen = saved["input"]
    # its random weights are overwritten, and drawing them must not change the training that loads the student
    with torch.random.fork_rng(devices=[]):
        return VisionTransformerStudent(**saved["student"], mean=seen["mean"], std=seen["std"])


def _student_of(saved: Mapping[str, Any]) -> VisionTransformerStudent:
    student = _untrained(saved)
    prefix = "student."
    weights = {key.removeprefix(prefix): value for key, value in saved["state_dict"].items() if key.startswith(prefix)}
    student.load_state_dict(weights)
    return student.eval()
