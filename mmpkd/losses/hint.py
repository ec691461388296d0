"""Mean squared distance between projected student features and standardised teacher features."""

import torch
from torch import Tensor

from mmpkd.losses.base import FeatureStatistics, PerSampleLoss
from mmpkd.numerics.precision import Float32Buffers, Float32Linear
from mmpkd.students.output import ModelOutput


class HintMSE(Float32Buffers, PerSampleLoss):
    """Mean of (W f_s - (f_t - mean) / std)^2 with a learned linear projection W (FitNet).

    Teacher features are standardised with their statistics over the training split: otherwise their scale would decide how
    much the loss weighs.

    Source: Romero et al. 2015, https://arxiv.org/abs/1412.6550, eq. 3.
    """

    needs_features = True
    needs_statistics = True
    mean: Tensor
    std: Tensor

    def build(self, student_features: int, teacher_features: int) -> None:
        """Make the projection, and room for the statistics."""
        self.projection = Float32Linear(student_features, teacher_features)
        # not part of a checkpoint: they come with the teacher whenever a training starts or goes on
        self.register_buffer("mean", torch.zeros(teacher_features), persistent=False)
        self.register_buffer("std", torch.ones(teacher_features), persistent=False)

    def set_statistics(self, statistics: FeatureStatistics) -> None:
        """Keep the statistics; a feature without any spread is only centred."""
        self.mean.copy_(statistics.mean)
        self.std.copy_(torch.where(statistics.std > 1e-6, statistics.std, 1.0))

    def per_sample(self, student: ModelOutput, teacher: ModelOutput) -> Tensor:
        """Return the mean over features, float32 (B,)."""
        target = (teacher.features - self.mean) / self.std
        distance: Tensor = (self.projection(student.features) - target).square().mean(dim=1)
        return distance
