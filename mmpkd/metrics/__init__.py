"""Classification and localization metrics: each one as a function, and most as a torchmetrics class around it."""

from mmpkd.metrics.ceiling import patch_ceiling
from mmpkd.metrics.classification import (
    MultilabelScores,
    auroc,
    average_precision,
    best_f1_threshold,
    expected_calibration_error,
    f1_score,
)
from mmpkd.metrics.cnr import ContrastToNoise, contrast_to_noise
from mmpkd.metrics.defaults import default_scores
from mmpkd.metrics.iou import IoU, MeanIoU, iou, mean_iou, otsu_threshold
from mmpkd.metrics.pairs import HeatmapPairs, Rois
from mmpkd.metrics.pointing_game import PointingGame, pointing_game
from mmpkd.metrics.ranking import PixelAUROC, PixelAveragePrecision, pixel_auroc, pixel_average_precision
from mmpkd.metrics.relevance_mass import RelevanceMass, RelevanceRank, relevance_mass, relevance_rank
from mmpkd.metrics.roi_metric import RoiMetric

__all__ = [
    "ContrastToNoise",
    "HeatmapPairs",
    "IoU",
    "MeanIoU",
    "MultilabelScores",
    "PixelAUROC",
    "PixelAveragePrecision",
    "PointingGame",
    "RelevanceMass",
    "RelevanceRank",
    "RoiMetric",
    "Rois",
    "auroc",
    "average_precision",
    "best_f1_threshold",
    "contrast_to_noise",
    "default_scores",
    "expected_calibration_error",
    "f1_score",
    "iou",
    "mean_iou",
    "otsu_threshold",
    "patch_ceiling",
    "pixel_auroc",
    "pixel_average_precision",
    "pointing_game",
    "relevance_mass",
    "relevance_rank",
]
