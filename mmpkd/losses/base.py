"""What a distillation loss is: a value per sample, reduced over the samples that have a teacher."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from mmpkd.outputs import ModelOutput


class DistillationLoss(nn.Module, ABC):
    """Distance between student and teacher.

    A subclass implements `per_sample`. `forward` makes the missing-teacher mask exact: teacher outputs of samples
    without a teacher are replaced before any arithmetic, since NaN * 0 is NaN in value and gradient.
    """

    needs_features: bool = False

    @abstractmethod
    def per_sample(self, student: ModelOutput, teacher: ModelOutput) -> Tensor:
        """Return the loss of each sample, float32 (B,), >= 0. Inputs are float32."""

    def forward(self, student: ModelOutput, teacher: ModelOutput, available: Tensor) -> Tensor:
        """Return the mean loss over the samples that have a teacher.

        Args:
            student: Logits (B, K) and features (B, D).
            teacher: Logits (B, K) and features (B, E); rows without a teacher may hold anything, NaN included.
            available: Bool (B,), whether a sample has a teacher.

        Returns:
            Float32 scalar; exactly 0, with zero gradients, if no sample has a teacher.
        """
        with torch.autocast(available.device.type, enabled=False):
            row = available[:, None]
            teacher = ModelOutput(*(torch.where(row, value.float(), 0.0).detach() for value in teacher))
            student = ModelOutput(*(value.float() for value in student))
            losses = self.per_sample(student, teacher)
            weight = available.to(losses.dtype)
            return (losses * weight).sum() / weight.sum().clamp(min=1)
