"""Trained students, read from the checkpoints of their runs."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmpkd.records.checkpoint import load_of_kind
from mmpkd.students.vit import VisionTransformerStudent


def load_student(checkpoint: Path) -> VisionTransformerStudent:
    """Load a trained student in eval mode from a checkpoint of a run; no teacher is needed.

    Args:
        checkpoint: `checkpoints/best.ckpt` of a baseline or distilled run.

    Raises:
        ValueError: If the checkpoint is not one of a student.
    """
    saved = _read(checkpoint)
    # the first, random weights are overwritten: what is drawn for them must not change a training that loads the student
    with torch.random.fork_rng(devices=[]):
        student = VisionTransformerStudent(**saved["student"])
    prefix = "student."
    weights = {key.removeprefix(prefix): value for key, value in saved["state_dict"].items() if key.startswith(prefix)}
    student.load_state_dict(weights)
    return student.eval()


@dataclass(frozen=True)
class TrainedStudent:
    """A student with everything that is needed to show it new images.

    Attributes:
        student: The network, in eval mode.
        label_names: Labels, in the order of the logits.
        thresholds: Float (K,), probabilities at which F1 was best on validation.
        preparation: How files become images, see `data_modules.preparation.Preparation.describe`.
        mean: Mean that images are normalised with.
        std: Standard deviation.
    """

    student: VisionTransformerStudent
    label_names: tuple[str, ...]
    thresholds: Tensor
    preparation: dict[str, Any]
    mean: float
    std: float


def load_trained_student(checkpoint: Path) -> TrainedStudent:
    """Load a student and how it sees images.

    Args:
        checkpoint: `checkpoints/best.ckpt` of a baseline or distilled run.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the checkpoint is not one of a student.
    """
    saved = _read(checkpoint)
    seen = saved["input"]
    return TrainedStudent(
        load_student(checkpoint),
        tuple(saved["label_names"]),
        saved["state_dict"]["scores.thresholds"].float(),
        seen["preparation"],
        seen["mean"],
        seen["std"],
    )


def student_labels(checkpoint: Path) -> tuple[str, ...]:
    """Return the labels that a student was trained on, in the order of its logits.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the checkpoint is not one of a student.
    """
    return tuple(_read(checkpoint)["label_names"])


def check_student_input(checkpoint: Path, image_size: int, mean: float, std: float) -> None:
    """Check that a student expects images as they are served.

    Raises:
        ValueError: If size or normalisation differ.
    """
    saved = _read(checkpoint)
    expected = {"image_size": saved["student"]["image_size"], **{key: saved["input"][key] for key in ("mean", "std")}}
    found = {"image_size": image_size, "mean": mean, "std": std}
    if found != expected:
        raise ValueError(
            f"Expected images as the student of '{checkpoint}' was trained on, {expected}, but the data give {found}."
        )


def _read(checkpoint: Path) -> dict[str, Any]:
    return load_of_kind(checkpoint, "student", "student")
