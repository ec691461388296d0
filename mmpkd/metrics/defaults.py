"""The localization scores that are reported unless others are chosen."""

from mmpkd.metrics.cnr import ContrastToNoise
from mmpkd.metrics.iou import IoU, MeanIoU
from mmpkd.metrics.pointing_game import PointingGame
from mmpkd.metrics.ranking import PixelAUROC, PixelAveragePrecision
from mmpkd.metrics.relevance_mass import RelevanceMass, RelevanceRank
from mmpkd.metrics.roi_metric import RoiMetric


def default_scores(top_area: float) -> list[RoiMetric]:
    """Return one score of each kind.

    Args:
        top_area: Share of the frame that `iou_top_area` selects.
    """
    return [
        PointingGame(),
        IoU("top_area", top_area),
        IoU("otsu"),
        MeanIoU(),
        RelevanceMass(),
        RelevanceRank(),
        PixelAUROC(),
        PixelAveragePrecision(),
        ContrastToNoise(),
    ]
