"""What a distillation loss is: a distance between student and teacher over the samples that have a teacher."""

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from mmpkd.losses.ensemble import ensemble_logits
from mmpkd.losses.reduction import gather, masked_mean
from mmpkd.students.output import ModelOutput


class FeatureStatistics(NamedTuple):
    """Mean and standard deviation of teacher features over the training samples that have a teacher, float32 (E,) each."""

    mean: Tensor
    std: Tensor


class DistillationLoss(nn.Module, ABC):
    """Distance between student and teacher.

    A subclass implements `reduce`; see `PerSampleLoss` for those that compare one sample at a time. `forward` makes the
    missing-teacher mask exact: teacher outputs of samples without a teacher are replaced before any arithmetic, since
    NaN * 0 is NaN in value and gradient. No loss may ask the device for a number: sizes that depend on the mask stay tensors.

    In distributed training, the mean of losses and gradients over processes is that of one process with the whole batch.

    A checkpoint holds the parameters of a loss, for a training that goes on. What `set_statistics` and `set_thresholds` hand over
    comes with the teacher again: keep it in buffers with `persistent=False`.

    Attributes:
        temperature: T > 0 of losses that soften probabilities; a schedule may set it in every step.
        multi_class: Whether the loss is right only where exactly one label of a sample is present.
        compares_samples: Whether the loss compares samples of a batch with each other.
        needs_features: Whether the loss compares features, which not every teacher has.
        needs_statistics: Whether `build` needs the statistics of the teacher's features.
        softens: Whether the temperature has an influence.
        needs_thresholds: Whether the loss needs the teacher's thresholds of the validation split.
    """

    temperature: float = 1.0
    multi_class: ClassVar[bool] = False
    compares_samples: ClassVar[bool] = True
    needs_features: ClassVar[bool] = False
    needs_statistics: ClassVar[bool] = False
    softens: ClassVar[bool] = False
    needs_thresholds: bool = False

    def build(self, student_features: int, teacher_features: int) -> None:
        """Make the layers that depend on the widths of the features, once; nothing by default."""

    def set_statistics(self, statistics: FeatureStatistics) -> None:
        """Take the statistics of the teacher's features, after `build`; nothing by default."""

    def set_thresholds(self, thresholds: Tensor) -> None:
        """Take the probabilities (K,) at which the teacher's F1 on validation is best; nothing by default."""

    @abstractmethod
    def reduce(self, student: ModelOutput, teacher: ModelOutput, available: Tensor) -> Tensor:
        """Return the loss over the available samples, float32 scalar. Inputs are float32, zero where not available."""

    def forward(self, student: ModelOutput, teacher: ModelOutput, available: Tensor) -> Tensor:
        """Return the loss over the samples that have a teacher.

        Args:
            student: Logits (B, K) and features (B, D).
            teacher: Logits (B, K), or (M, B, K) of M teachers whose probabilities are averaged, and features (B, E); rows
                without a teacher may hold anything, NaN included.
            available: Bool (B,), whether a sample has a teacher.

        Returns:
            Float32 scalar; exactly 0, with zero gradients, if no sample has a teacher.
        """
        with torch.autocast(available.device.type, enabled=False):
            row = available[:, None]
            logits, features = (torch.where(row, value.float(), 0.0).detach() for value in teacher)
            if logits.ndim == 3:
                logits = ensemble_logits(logits, self.temperature)
            teacher = ModelOutput(logits, features)
            student = ModelOutput(*(value.float() for value in student))
            if self.compares_samples:
                student, teacher = (ModelOutput(*map(gather, output)) for output in (student, teacher))
                available = gather(available)
            return self.reduce(student, teacher, available)


class PerSampleLoss(DistillationLoss):
    """A distillation loss that is the mean over samples of what `per_sample` returns."""

    compares_samples = False

    @abstractmethod
    def per_sample(self, student: ModelOutput, teacher: ModelOutput) -> Tensor:
        """Return the loss of each sample, float32 (B,), >= 0. Inputs are float32."""

    def reduce(self, student: ModelOutput, teacher: ModelOutput, available: Tensor) -> Tensor:
        """Return the mean over the available samples."""
        losses = self.per_sample(student, teacher)
        weight = available.to(losses.dtype)
        return masked_mean((losses * weight).sum(), weight.sum())


def check_logits(student: ModelOutput, teacher: ModelOutput) -> None:
    """Check that both have the same labels.

    Raises:
        ValueError: If the shapes of the logits differ.
    """
    if student.logits.shape != teacher.logits.shape:
        raise ValueError(
            f"Expected teacher logits of shape {tuple(student.logits.shape)} as the student's but got "
            f"{tuple(teacher.logits.shape)}. Train the teacher on the same labels."
        )


def check_temperature(temperature: float) -> float:
    """Return a temperature after checking it.

    Raises:
        ValueError: If it is not positive.
    """
    if not temperature > 0:
        raise ValueError(f"Expected a temperature > 0 but got {temperature}.")
    return temperature
