"""Losses between the logits of student and teacher, other than the sigmoid KL divergence."""

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from mmpkd.losses.base import PerSampleLoss, check_logits
from mmpkd.numerics.precision import Float32Buffers
from mmpkd.students.output import ModelOutput


class LogitMSE(PerSampleLoss):
    """Mean squared difference between logits.

    The sigmoid KL divergence tends to 1/8 of it as the temperature grows.

    Source: Ba and Caruana 2014, https://arxiv.org/abs/1312.6184, eq. 1.

    Example:
        >>> import torch
        >>> student = ModelOutput(logits=torch.tensor([[1.0, 2.0]]), features=torch.zeros(1, 1))
        >>> teacher = ModelOutput(logits=torch.tensor([[2.0, 5.0]]), features=torch.zeros(1, 1))
        >>> LogitMSE()(student, teacher, available=torch.tensor([True]))  # (1 + 9) / 2
        tensor(5.)
    """

    def per_sample(self, student: ModelOutput, teacher: ModelOutput) -> Tensor:
        """Return the mean over labels, float32 (B,)."""
        check_logits(student, teacher)
        return (student.logits - teacher.logits).square().mean(dim=1)


class HardLabels(Float32Buffers, PerSampleLoss):
    """Binary cross-entropy against the teacher's thresholded predictions.

    Source: Touvron et al. 2021, https://arxiv.org/abs/2012.12877, eq. 3.

    Args:
        threshold: Probability in (0, 1) from which on the teacher predicts a finding, or `validation` for the threshold of each
            label with the teacher's best F1 on the validation split.

    Raises:
        ValueError: If the threshold is out of range.

    Example:
        >>> import torch
        >>> student = ModelOutput(logits=torch.tensor([[0.0]]), features=torch.zeros(1, 1))
        >>> teacher = ModelOutput(logits=torch.tensor([[2.0]]), features=torch.zeros(1, 1))
        >>> HardLabels(threshold=0.5)(student, teacher, available=torch.tensor([True]))  # log 2
        tensor(0.6931)
    """

    def __init__(self, threshold: float | Literal["validation"] = 0.5) -> None:
        super().__init__()
        self.needs_thresholds = threshold == "validation"
        if threshold != "validation" and not 0 < threshold < 1:
            raise ValueError(f"Expected a threshold in (0, 1), or 'validation', but got {threshold}.")
        self.threshold: Tensor
        value = torch.tensor(0.5 if threshold == "validation" else float(threshold))
        # not stored in checkpoints: the teacher provides it whenever training starts or resumes
        self.register_buffer("threshold", value, persistent=False)

    def set_thresholds(self, thresholds: Tensor) -> None:
        """Store the teacher's thresholds (K,)."""
        self.threshold = thresholds.float().to(self.threshold.device)

    def per_sample(self, student: ModelOutput, teacher: ModelOutput) -> Tensor:
        """Return the mean over labels, float32 (B,)."""
        check_logits(student, teacher)
        decision = (teacher.logits.sigmoid() >= self.threshold).to(student.logits.dtype)  # (B, K)
        return F.binary_cross_entropy_with_logits(student.logits, decision, reduction="none").mean(dim=1)
