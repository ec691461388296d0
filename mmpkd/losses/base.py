"""Base classes of distillation losses, which compare student and teacher on the samples that have a teacher."""

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from mmpkd.losses.ensemble import ensemble_logits
from mmpkd.losses.reduction import gather, masked_mean
from mmpkd.students.output import ModelOutput


class FeatureStatistics(NamedTuple):
    """Mean and standard deviation of the teacher's features over the training samples that have a teacher.

    Attributes:
        mean: Float32 (E,).
        std: Float32 (E,).
    """

    mean: Tensor
    std: Tensor


class DistillationLoss(nn.Module, ABC):
    """Distance between student and teacher.

    Subclasses implement `reduce`, or `per_sample` of `PerSampleLoss` if they treat each sample on its own. `forward` masks
    missing teachers exactly: it overwrites the teacher outputs of these samples before any arithmetic, because NaN * 0 is NaN
    in both value and gradient. A loss must not synchronise with the device: sizes that depend on the mask stay tensors.

    In distributed training, losses and gradients averaged over processes equal those of one process with the whole batch.

    A checkpoint stores the parameters of a loss. The values given to `set_statistics` and `set_thresholds` are computed again
    from the teacher when training resumes, so keep them in buffers with `persistent=False`.

    Attributes:
        temperature: T > 0, for losses that soften probabilities. A schedule may change it at every step.
        multi_class: Whether the loss assumes exactly one positive label per sample.
        compares_samples: Whether the loss compares the samples of a batch with each other.
        needs_features: Whether the loss compares features, which not every teacher has.
        needs_statistics: Whether the loss needs `set_statistics` to be called.
        softens: Whether the loss depends on the temperature.
        needs_thresholds: Whether the loss needs the teacher's thresholds, chosen on the validation split.

    Example:
        >>> import torch
        >>> from mmpkd.losses import LogitMSE
        >>> loss = LogitMSE()
        >>> student = ModelOutput(logits=torch.tensor([[1.0], [5.0]]), features=torch.zeros(2, 3))
        >>> teacher = ModelOutput(logits=torch.tensor([[3.0], [torch.nan]]), features=torch.zeros(2, 4))
        >>> loss(student, teacher, available=torch.tensor([True, False]))  # (1 - 3)^2; the second sample has no teacher
        tensor(4.)
    """

    temperature: float = 1.0
    multi_class: ClassVar[bool] = False
    compares_samples: ClassVar[bool] = True
    needs_features: ClassVar[bool] = False
    needs_statistics: ClassVar[bool] = False
    softens: ClassVar[bool] = False
    needs_thresholds: bool = False

    def build(self, student_features: int, teacher_features: int) -> None:
        """Create the layers whose shape depends on the feature widths. Called once; does nothing by default."""

    def set_statistics(self, statistics: FeatureStatistics) -> None:
        """Store the statistics of the teacher's features. Called after `build`; does nothing by default."""

    def set_thresholds(self, thresholds: Tensor) -> None:
        """Store the probabilities (K,) with the teacher's best F1 on the validation split. Does nothing by default."""

    @abstractmethod
    def reduce(self, student: ModelOutput, teacher: ModelOutput, available: Tensor) -> Tensor:
        """Return the loss over the samples that have a teacher.

        Args:
            student: Float32 logits (B, K) and features (B, D).
            teacher: Float32 logits (B, K) and features (B, E); zero in rows without a teacher.
            available: Bool (B,), which samples have a teacher.

        Returns:
            Float32 scalar.
        """

    def forward(self, student: ModelOutput, teacher: ModelOutput, available: Tensor) -> Tensor:
        """Return the loss over the samples that have a teacher.

        Args:
            student: Logits (B, K) and features (B, D).
            teacher: Logits (B, K), or (M, B, K) of M teachers whose probabilities are averaged, and features (B, E). Rows
                without a teacher may hold any value, including NaN.
            available: Bool (B,), which samples have a teacher.

        Returns:
            Float32 scalar; exactly 0, with zero gradients, if no sample has a teacher.
        """
        # float32 also under autocast: exp and log of softened logits lose too much in half precision
        with torch.autocast(available.device.type, enabled=False):
            row = available[:, None]  # (B, 1), broadcasts over (B, K), (M, B, K) and (B, E)
            # `where`, not a product: NaN * 0 is NaN
            logits, features = (torch.where(row, value.float(), 0.0).detach() for value in teacher)
            if logits.ndim == 3:
                logits = ensemble_logits(logits, self.temperature)
            teacher = ModelOutput(logits, features)
            student = ModelOutput(*(value.float() for value in student))
            if self.compares_samples:
                # every process compares the samples of all processes
                student, teacher = (ModelOutput(*map(gather, output)) for output in (student, teacher))
                available = gather(available)
            return self.reduce(student, teacher, available)


class PerSampleLoss(DistillationLoss):
    """A distillation loss that treats each sample on its own and averages over those that have a teacher.

    Example:
        >>> import torch
        >>> class AbsoluteError(PerSampleLoss):
        ...     def per_sample(self, student, teacher):
        ...         return (student.logits - teacher.logits).abs().mean(dim=1)
        >>> student = ModelOutput(logits=torch.tensor([[1.0], [2.0]]), features=torch.zeros(2, 3))
        >>> teacher = ModelOutput(logits=torch.tensor([[2.0], [5.0]]), features=torch.zeros(2, 3))
        >>> AbsoluteError()(student, teacher, available=torch.tensor([True, True]))  # (1 + 3) / 2
        tensor(2.)
    """

    compares_samples = False

    @abstractmethod
    def per_sample(self, student: ModelOutput, teacher: ModelOutput) -> Tensor:
        """Return the loss of each sample, float32 (B,), >= 0. The inputs are float32."""

    def reduce(self, student: ModelOutput, teacher: ModelOutput, available: Tensor) -> Tensor:
        """Return the mean over the samples that have a teacher."""
        losses = self.per_sample(student, teacher)  # (B,)
        weight = available.to(losses.dtype)
        return masked_mean((losses * weight).sum(), weight.sum())


def check_logits(student: ModelOutput, teacher: ModelOutput) -> None:
    """Raise a ValueError if the logits of student and teacher differ in shape."""
    if student.logits.shape != teacher.logits.shape:
        raise ValueError(
            f"Expected teacher logits of the student's shape {tuple(student.logits.shape)} but got "
            f"{tuple(teacher.logits.shape)}. Train the teacher on the same labels."
        )


def check_temperature(temperature: float) -> float:
    """Return the temperature, or raise a ValueError if it is not positive."""
    if not temperature > 0:
        raise ValueError(f"Expected a temperature > 0 but got {temperature}.")
    return temperature
