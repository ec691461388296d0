"""Cosine distance between projected student features and teacher features."""

import torch
from torch import Tensor

from mmpkd.losses.base import PerSampleLoss
from mmpkd.numerics.precision import Float32Linear
from mmpkd.students.output import ModelOutput


class CosineFeatureLoss(PerSampleLoss):
    """Cosine distance 1 - cos(W f_s, f_t) with a learned linear projection W.

    Norms are sqrt(|x|^2 + eps), which keeps the gradient bounded at a zero vector.

    Args:
        eps: Constant > 0 under the square root.

    Example:
        >>> import torch
        >>> loss = CosineFeatureLoss()
        >>> loss.build(student_features=2, teacher_features=2)
        >>> _ = torch.nn.init.eye_(loss.projection.weight)
        >>> _ = torch.nn.init.zeros_(loss.projection.bias)
        >>> student = ModelOutput(logits=torch.zeros(1, 1), features=torch.tensor([[1.0, 0.0]]))
        >>> teacher = ModelOutput(logits=torch.zeros(1, 1), features=torch.tensor([[1.0, 1.0]]))
        >>> loss(student, teacher, available=torch.tensor([True]))  # 1 - 1 / sqrt(2)
        tensor(0.2929, grad_fn=<DivBackward0>)
    """

    needs_features = True

    def __init__(self, eps: float = 1e-6) -> None:
        super().__init__()
        self.eps = eps

    def build(self, student_features: int, teacher_features: int) -> None:
        """Create the projection."""
        self.projection = Float32Linear(student_features, teacher_features)

    def per_sample(self, student: ModelOutput, teacher: ModelOutput) -> Tensor:
        """Return the distance of each sample, float32 (B,) in [0, 2]."""
        projected = self._unit(self.projection(student.features))  # (B, E)
        return 1 - (projected * self._unit(teacher.features)).sum(dim=1)

    def _unit(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.square().sum(dim=1, keepdim=True) + self.eps)
