"""Mean squared distance between projected student features and standardised teacher features."""

import torch
from torch import Tensor

from mmpkd.losses.base import FeatureStatistics, PerSampleLoss
from mmpkd.numerics.precision import Float32Buffers, Float32Linear
from mmpkd.students.output import ModelOutput


class HintMSE(Float32Buffers, PerSampleLoss):
    """Mean of (W f_s - (f_t - mean) / std)^2 with a learned linear projection W (FitNet).

    Teacher features are standardised with their statistics on the training split. Without this, the size of the loss would
    depend on the scale of the features.

    Source: Romero et al. 2015, https://arxiv.org/abs/1412.6550, eq. 3.

    Example:
        >>> import torch
        >>> loss = HintMSE()
        >>> loss.build(student_features=1, teacher_features=1)
        >>> loss.set_statistics(FeatureStatistics(mean=torch.tensor([4.0]), std=torch.tensor([2.0])))
        >>> _ = torch.nn.init.ones_(loss.projection.weight)
        >>> _ = torch.nn.init.zeros_(loss.projection.bias)
        >>> student = ModelOutput(logits=torch.zeros(1, 1), features=torch.tensor([[3.0]]))
        >>> teacher = ModelOutput(logits=torch.zeros(1, 1), features=torch.tensor([[6.0]]))
        >>> loss(student, teacher, available=torch.tensor([True])).item()  # (3 - (6 - 4) / 2)^2
        4.0
    """

    needs_features = True
    needs_statistics = True
    mean: Tensor
    std: Tensor

    def build(self, student_features: int, teacher_features: int) -> None:
        """Create the projection, and the buffers of the statistics."""
        self.projection = Float32Linear(student_features, teacher_features)
        # not stored in checkpoints: the teacher provides them whenever training starts or resumes
        self.register_buffer("mean", torch.zeros(teacher_features), persistent=False)
        self.register_buffer("std", torch.ones(teacher_features), persistent=False)

    def set_statistics(self, statistics: FeatureStatistics) -> None:
        """Store the statistics. A constant feature is centred but not scaled."""
        self.mean.copy_(statistics.mean)
        self.std.copy_(torch.where(statistics.std > 1e-6, statistics.std, 1.0))

    def per_sample(self, student: ModelOutput, teacher: ModelOutput) -> Tensor:
        """Return the mean over features, float32 (B,)."""
        target = (teacher.features - self.mean) / self.std  # (B, E)
        distance: Tensor = (self.projection(student.features) - target).square().mean(dim=1)
        return distance
