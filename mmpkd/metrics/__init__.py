"""Metrics: a functional core each, and a torchmetrics class around it."""

from mmpkd.metrics.classification import MultilabelScores, auroc, average_precision
from mmpkd.metrics.iou import IoU, iou, otsu_threshold
from mmpkd.metrics.pointing_game import PointingGame, pointing_game
from mmpkd.metrics.relevance_mass import RelevanceMass, relevance_mass
from mmpkd.metrics.roi import RoiMetric, area_fraction

__all__ = [
    "IoU",
    "MultilabelScores",
    "PointingGame",
    "RelevanceMass",
    "RoiMetric",
    "area_fraction",
    "auroc",
    "average_precision",
    "iou",
    "otsu_threshold",
    "pointing_game",
    "relevance_mass",
]
