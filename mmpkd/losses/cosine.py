"""Cosine distance between projected student features and teacher features."""

import torch
from torch import Tensor

from mmpkd.losses.base import PerSampleLoss
from mmpkd.numerics.precision import Float32Linear
from mmpkd.students.output import ModelOutput


class CosineFeatureLoss(PerSampleLoss):
    """1 - cos(W f_s, f_t) with a learned linear projection W.

    The norm is sqrt(|x|^2 + eps), which keeps the gradient bounded at a zero vector.

    Args:
        eps: Added under the square root.
    """

    needs_features = True

    def __init__(self, eps: float = 1e-6) -> None:
        super().__init__()
        self.eps = eps

    def build(self, student_features: int, teacher_features: int) -> None:
        """Make the projection."""
        self.projection = Float32Linear(student_features, teacher_features)

    def per_sample(self, student: ModelOutput, teacher: ModelOutput) -> Tensor:
        """Return the distance, float32 (B,) in [0, 2]."""
        return 1 - (self._unit(self.projection(student.features)) * self._unit(teacher.features)).sum(dim=1)

    def _unit(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.square().sum(dim=1, keepdim=True) + self.eps)
