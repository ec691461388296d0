"""Task and distillation losses for multi-label classification with missing labels and missing teachers."""

from mmpkd.losses.base import DistillationLoss
from mmpkd.losses.cosine import CosineFeatureLoss
from mmpkd.losses.sigmoid_kl import SigmoidKLDivergence
from mmpkd.losses.task import masked_bce

__all__ = ["CosineFeatureLoss", "DistillationLoss", "SigmoidKLDivergence", "masked_bce"]
