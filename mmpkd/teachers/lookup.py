"""A frozen teacher's outputs for a batch: looked up by index, or computed live."""

from abc import ABC, abstractmethod
from pathlib import Path

import torch
from torch import Tensor

from data_modules.base import PrivilegedDataModule
from data_modules.batch import Batch
from mmpkd.outputs import ModelOutput
from mmpkd.teachers.targets import TeacherTargets, load_targets, stored_targets
from mmpkd.teachers.teacher import FrozenTeacher, load_teacher


class TeacherLookup(ABC):
    """Gives the teacher's outputs for a training batch. No module, so that it is in no checkpoint and no optimizer."""

    num_features: int

    @abstractmethod
    def to(self, device: torch.device) -> "TeacherLookup":
        """Move to a device."""

    @abstractmethod
    def __call__(self, batch: Batch) -> tuple[ModelOutput, Tensor]:
        """Return logits (B, K) and features (B, D), float32 without a graph, and which samples have them, bool (B,)."""


class StoredTeacher(TeacherLookup):
    """Looks up stored targets by the batch's `index`.

    Args:
        targets: Targets aligned with the training split.
    """

    def __init__(self, targets: TeacherTargets) -> None:
        self.logits = torch.from_numpy(targets.logits)
        self.features = torch.from_numpy(targets.features)
        self.available = torch.from_numpy(targets.available)
        self.num_features = self.features.shape[1]

    def to(self, device: torch.device) -> "StoredTeacher":
        """Move the targets to a device."""
        self.logits, self.features = self.logits.to(device), self.features.to(device)
        self.available = self.available.to(device)
        return self

    def __call__(self, batch: Batch) -> tuple[ModelOutput, Tensor]:
        """Return the targets of the batch's samples."""
        index = batch["index"]
        return ModelOutput(self.logits[index], self.features[index].float()), self.available[index]


class OnlineTeacher(TeacherLookup):
    """Runs the frozen teacher on the batch's privileged input.

    Args:
        teacher: The teacher.
    """

    def __init__(self, teacher: FrozenTeacher) -> None:
        self.teacher = teacher
        self.num_features = teacher.teacher.encoder.num_features

    def to(self, device: torch.device) -> "OnlineTeacher":
        """Move the teacher to a device."""
        self.teacher.to(device)
        return self

    def __call__(self, batch: Batch) -> tuple[ModelOutput, Tensor]:
        """Return the teacher's outputs for the batch."""
        if "privileged" not in batch:
            raise ValueError("Expected privileged input for an online teacher. Set data.load_privileged to true.")
        return self.teacher(batch["privileged"]), batch["has_privileged"]


def open_teacher(path: Path, online: bool, datamodule: PrivilegedDataModule, device: torch.device) -> TeacherLookup:
    """Open a teacher's checkpoint, or a folder of stored targets.

    Args:
        path: A checkpoint file or a targets folder.
        online: Run the teacher in every step instead of looking its outputs up.
        datamodule: Data of the student; its labels must be the teacher's.
        device: Where targets are computed at first use.

    Raises:
        FileNotFoundError: If there is nothing at the path.
        ValueError: If labels differ, or a folder of targets was asked to run online.
    """
    if path.is_dir():
        if online:
            raise ValueError(f"Expected a checkpoint for teacher_targets 'online' but '{path}' is a folder of targets.")
        targets = load_targets(path)
        _check_labels(tuple(targets.meta.label_names), datamodule.label_names)
        return StoredTeacher(targets.align(datamodule.splits["train"].sample_id))
    teacher = load_teacher(path)
    _check_labels(teacher.label_names, datamodule.label_names)
    if online:
        return OnlineTeacher(teacher)
    split = datamodule.splits["train"]
    targets = stored_targets(path, teacher, datamodule.privileged_dataloader("train"), split, device)
    return StoredTeacher(targets.align(split.sample_id))


def _check_labels(teacher: tuple[str, ...], student: tuple[str, ...]) -> None:
    if teacher != student:
        raise ValueError(
            f"Expected a teacher of the labels {list(student)}, in this order, but it was trained on {list(teacher)}."
        )
