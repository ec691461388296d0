"""Task and distillation losses for multi-label classification, with exact masks of missing labels and missing teachers."""

from mmpkd.losses.base import DistillationLoss, PerSampleLoss
from mmpkd.losses.cosine import CosineFeatureLoss
from mmpkd.losses.hint import HintMSE
from mmpkd.losses.multi_class import SoftmaxKLDivergence
from mmpkd.losses.objective import LossTerm, Objective
from mmpkd.losses.relation import (
    CenteredKernelAlignment,
    InfoNCE,
    RelationalDistance,
    SigmoidDIST,
    SimilarityPreserving,
)
from mmpkd.losses.response import HardLabels, LogitMSE
from mmpkd.losses.sigmoid_kl import SigmoidKLDivergence
from mmpkd.losses.task import masked_bce

__all__ = [
    "CenteredKernelAlignment",
    "CosineFeatureLoss",
    "DistillationLoss",
    "HardLabels",
    "HintMSE",
    "InfoNCE",
    "LogitMSE",
    "LossTerm",
    "Objective",
    "PerSampleLoss",
    "RelationalDistance",
    "SigmoidDIST",
    "SigmoidKLDivergence",
    "SimilarityPreserving",
    "SoftmaxKLDivergence",
    "masked_bce",
]
