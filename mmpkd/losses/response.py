"""Distances between logits, label by label, besides the sigmoid KL divergence."""

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from mmpkd.losses.base import PerSampleLoss, check_logits
from mmpkd.numerics.precision import Float32Buffers
from mmpkd.students.output import ModelOutput


class LogitMSE(PerSampleLoss):
    """Mean squared difference of logits: eight times the sigmoid KL divergence at a high temperature.

    Source: Ba and Caruana 2014, https://arxiv.org/abs/1312.6184, eq. 1.
    """

    def per_sample(self, student: ModelOutput, teacher: ModelOutput) -> Tensor:
        """Return the mean over labels, float32 (B,)."""
        check_logits(student, teacher)
        return (student.logits - teacher.logits).square().mean(dim=1)


class HardLabels(Float32Buffers, PerSampleLoss):
    """Binary cross-entropy against the teacher's decisions (Touvron et al. 2021, https://arxiv.org/abs/2012.12877, eq. 3).

    Args:
        threshold: Probability in (0, 1) at which the teacher says that a finding is present, or `validation`: for each label,
            the one at which the teacher's F1 on the validation split is best.
    """

    def __init__(self, threshold: float | Literal["validation"] = 0.5) -> None:
        super().__init__()
        self.needs_thresholds = threshold == "validation"
        if threshold != "validation" and not 0 < threshold < 1:
            raise ValueError(f"Expected a threshold in (0, 1), or 'validation', but got {threshold}.")
        self.threshold: Tensor
        value = torch.tensor(0.5 if threshold == "validation" else float(threshold))
        # not part of a checkpoint: it comes with the teacher whenever a training starts or goes on
        self.register_buffer("threshold", value, persistent=False)

    def set_thresholds(self, thresholds: Tensor) -> None:
        """Take the teacher's thresholds (K,)."""
        self.threshold = thresholds.float().to(self.threshold.device)

    def per_sample(self, student: ModelOutput, teacher: ModelOutput) -> Tensor:
        """Return the mean over labels, float32 (B,)."""
        check_logits(student, teacher)
        decision = (teacher.logits.sigmoid() >= self.threshold).to(student.logits.dtype)
        return F.binary_cross_entropy_with_logits(student.logits, decision, reduction="none").mean(dim=1)
