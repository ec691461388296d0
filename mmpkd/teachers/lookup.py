"""Outputs of a frozen teacher for a batch: looked up by index, or computed online."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from data_modules.base import PrivilegedDataModule
from data_modules.batch import Batch
from mmpkd.losses.base import FeatureStatistics
from mmpkd.records.exported import is_exported
from mmpkd.students import load_student
from mmpkd.students.output import ModelOutput
from mmpkd.students.trained import check_student_input, student_labels
from mmpkd.teachers.calibration import calibration_temperature, is_at_limit
from mmpkd.teachers.controls import TargetsControl
from mmpkd.teachers.run_teachers import shared_targets, stored_targets
from mmpkd.teachers.source import TeacherSource
from mmpkd.teachers.target_files import load_targets
from mmpkd.teachers.targets import TeacherTargets, cooled, empty_targets
from mmpkd.teachers.teacher import FrozenTeacher, load_teacher

logger = logging.getLogger("mmpkd")


class TeacherLookup(ABC):
    """Returns the teacher's outputs for a training batch.

    It is not an `nn.Module`, so that it is part of no checkpoint and no optimizer.

    Attributes:
        num_features: Width D of the features; 0 if the teacher has none.
        thresholds: Float (K,), probabilities with the teacher's best F1 on the validation split, or None if unknown.
    """

    num_features: int
    thresholds: Tensor | None = None

    def __deepcopy__(self, memo: dict[int, object]) -> "TeacherLookup":
        """Return this object itself, so that a copy of the student (such as an average of its weights) shares the teacher."""
        del memo
        return self

    @abstractmethod
    def to(self, device: torch.device) -> "TeacherLookup":
        """Move to a device."""

    @abstractmethod
    def feature_statistics(self) -> FeatureStatistics:
        """Return mean and standard deviation of the teacher's features over the training samples that have a teacher."""

    @abstractmethod
    def __call__(self, batch: Batch) -> tuple[ModelOutput, Tensor]:
        """Return the outputs for a batch.

        Returns:
            Logits (M, B, K) of M teachers and features (B, D), without a graph; and bool (B,), which samples have a teacher.
        """


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
        self.thresholds = None if targets.meta.thresholds is None else torch.tensor(targets.meta.thresholds)

    def to(self, device: torch.device) -> "StoredTeacher":
        """Move the targets to a device, in place."""
        self.logits = self.logits.to(device)
        self.features = self.features.to(device)
        self.available = self.available.to(device)
        return self

    def feature_statistics(self) -> FeatureStatistics:
        """Return the statistics of the stored features."""
        if not self.num_features:
            raise ValueError("Expected teacher features for a loss between features but the targets have none.")
        known = self.features[self.available].float()  # (n, D)
        return FeatureStatistics(known.mean(0), known.std(0, correction=0))

    def __call__(self, batch: Batch) -> tuple[ModelOutput, Tensor]:
        """Return the targets of the batch's samples."""
        index = batch["index"]  # (B,), positions in the training split
        return ModelOutput(self.logits[:, index], self.features[index].float()), self.available[index]


class OnlineTeacher(TeacherLookup):
    """Runs the frozen teacher on the privileged input of a batch.

    Args:
        teacher: The teacher.
        stored: Returns the stored targets, for the statistics of the features and the thresholds.
        temperature: Temperature that logits are divided by.
    """

    def __init__(self, teacher: FrozenTeacher, stored: Callable[[], StoredTeacher], temperature: float = 1.0) -> None:
        self.teacher = teacher
        self.stored = stored
        self.temperature = temperature
        self.num_features = teacher.teacher.encoder.num_features

    def to(self, device: torch.device) -> "OnlineTeacher":
        """Move the teacher to a device."""
        self.teacher.to(device)
        return self

    def feature_statistics(self) -> FeatureStatistics:
        """Return the statistics over the training split. The teacher runs over it once, unless its targets are stored."""
        return self.stored().feature_statistics()

    @property
    def thresholds(self) -> Tensor | None:  # type: ignore[override]
        """The thresholds stored with the targets."""
        return self.stored().thresholds

    def __call__(self, batch: Batch) -> tuple[ModelOutput, Tensor]:
        """Return the teacher's outputs for the batch."""
        if "privileged" not in batch:
            raise ValueError(
                "Expected privileged input for an online teacher but the batch has none. If the data module has the setting "
                "data.load_privileged, leave it unset."
            )
        logits, features = self.teacher(batch["privileged"])
        # rounded to float16 like stored features, so that both modes train the same student
        return ModelOutput(logits[None] / self.temperature, features.half().float()), batch["has_privileged"]


class ImageTeacher(TeacherLookup):
    """Runs a frozen student on the augmented images of a batch, so that teacher and student see the same view.

    Only samples with privileged input have this teacher. It then differs from a teacher on privileged input in its knowledge,
    not in the samples that it teaches.

    Args:
        checkpoint: Checkpoint of a student's run.
        has_privileged: Bool (N,) of the training split. If None, `has_privileged` of the batch is used; without it, all samples
            have this teacher.
    """

    def __init__(self, checkpoint: Path, has_privileged: NDArray[np.bool_] | None) -> None:
        # in a tuple, like the encoder of `TeacherModule`, so that no module can adopt it
        self.student = (load_student(checkpoint).requires_grad_(False),)
        self.available = None if has_privileged is None else torch.from_numpy(has_privileged)
        self.num_features = self.student[0].num_features

    def to(self, device: torch.device) -> "ImageTeacher":
        """Move the teacher to a device."""
        self.student[0].to(device)
        if self.available is not None:
            self.available = self.available.to(device)
        return self

    def feature_statistics(self) -> FeatureStatistics:
        """Raise a ValueError: the features change with the augmentation."""
        raise ValueError(
            "Expected a teacher with fixed features for HintMSE but the features of an image teacher change with the "
            "augmentation. Use another loss."
        )

    @torch.no_grad()
    def __call__(self, batch: Batch) -> tuple[ModelOutput, Tensor]:
        """Return the teacher's outputs for the batch."""
        student = self.student[0].eval()
        # images have the data type of the student in training
        output = student(batch["image"].to(next(student.parameters()).dtype))
        return ModelOutput(output.logits.float()[None], output.features.float()), self._available(batch)

    def _available(self, batch: Batch) -> Tensor:
        if self.available is not None:
            return self.available[batch["index"]]
        everyone = torch.ones(len(batch["image"]), dtype=torch.bool, device=batch["image"].device)
        return batch.get("has_privileged", everyone)


def open_teacher(source: TeacherSource, datamodule: PrivilegedDataModule, device: torch.device) -> TeacherLookup:
    """Open a teacher's checkpoint, or a folder of stored targets.

    Args:
        source: Where the outputs come from.
        datamodule: Data of the student, with the same labels as the teacher.
        device: Device on which targets are computed if they are not stored yet.

    Raises:
        FileNotFoundError: If nothing exists at the path.
        ValueError: If labels differ, or a folder of targets is given where a checkpoint is needed.
    """
    split = datamodule.splits["train"]
    control = source.control
    if source.path is None:
        assert control is not None  # checked by the source
        return StoredTeacher(control(empty_targets(split, datamodule.label_names), split, datamodule.seed))
    path = Path(source.path)
    is_student = source.targets == "image" and is_exported(path)
    if path.is_dir() and not is_student:
        return _open_folder(path, source, datamodule)
    if source.targets == "image":
        _check_labels(student_labels(path), datamodule.label_names)
        check_student_input(path, datamodule.image_size, datamodule.mean, datamodule.std)
        return ImageTeacher(path, split.has_privileged)
    teacher = load_teacher(path, source.trust_remote_code)
    _check_labels(teacher.label_names, datamodule.label_names)
    teacher.teacher.encoder.check(split)
    temperature = _fit_temperature(teacher, datamodule, device) if source.calibrate else 1.0

    def stored() -> StoredTeacher:
        targets = cooled(stored_targets(path, teacher, datamodule, device), temperature)
        return _stored(targets, datamodule, control)

    return OnlineTeacher(teacher, stored, temperature) if source.targets == "online" else stored()


def open_running_teacher(source: TeacherSource, num_classes: int) -> TeacherLookup:
    """Open a teacher that runs at every step, for data loaders or data modules of the user's own.

    Args:
        source: Where the outputs come from.
        num_classes: Number of labels K of the student.

    Raises:
        FileNotFoundError: If nothing exists at the path.
        ValueError: If the source needs the training split, or the teacher has another number of labels.
    """
    if source.path is None or source.targets == "stored" or source.calibrate:
        raise _needs_data_module("stored targets, controls and calibration")
    path = Path(source.path)
    if source.targets == "image":
        names = student_labels(path)
        lookup: TeacherLookup = ImageTeacher(path, None)
    else:
        teacher = load_teacher(path, source.trust_remote_code)
        names = teacher.label_names
        lookup = OnlineTeacher(teacher, _no_stored_targets)
    if len(names) != num_classes:
        raise ValueError(f"Expected a teacher with {num_classes} labels but it was trained on {list(names)}.")
    return lookup


def _no_stored_targets() -> StoredTeacher:
    raise _needs_data_module("statistics of the teacher's features and its thresholds")


def _needs_data_module(what: str) -> ValueError:
    return ValueError(
        f"Expected a data module of data_modules, or a subclass of PrivilegedDataModule, for {what}: they need the training "
        "split and its identifiers, which other data modules and data loaders do not have. With these, the teacher can run at "
        "every step (targets='online' or 'image')."
    )


def _open_folder(path: Path, source: TeacherSource, datamodule: PrivilegedDataModule) -> StoredTeacher:
    if source.targets != "stored" or source.calibrate:
        raise ValueError(
            "Expected a checkpoint for model.teacher.targets 'online' or 'image' and for model.teacher.calibrate but "
            f"'{path}' is a folder of targets."
        )
    targets = load_targets(path)
    _check_labels(tuple(targets.meta.label_names), datamodule.label_names)
    return _stored(targets, datamodule, source.control)


def _stored(targets: TeacherTargets, datamodule: PrivilegedDataModule, control: TargetsControl | None) -> StoredTeacher:
    split = datamodule.splits["train"]
    targets = targets.align(split)
    return StoredTeacher(targets if control is None else control(targets, split, datamodule.seed))


def _fit_temperature(teacher: FrozenTeacher, datamodule: PrivilegedDataModule, device: torch.device) -> float:
    split = datamodule.splits["val"]
    # on the validation split: an overfitted teacher looks calibrated on its training samples
    targets = shared_targets([teacher], datamodule, "val", device)
    found = calibration_temperature(targets.logits[0][targets.available], split.label[targets.available])
    if is_at_limit(found):
        logger.warning(
            "The calibration temperature ends at the limit of its search, %.2f: the teacher's logits separate the labels of the "
            "validation split, or say nothing about them. Leave model.teacher.calibrate out.",
            found,
        )
    return found


def _check_labels(teacher: tuple[str, ...], student: tuple[str, ...]) -> None:
    if teacher != student:
        raise ValueError(
            f"Expected a teacher with the labels {list(student)}, in this order, but it was trained on {list(teacher)}."
        )
