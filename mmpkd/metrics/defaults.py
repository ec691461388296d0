"""The default localization scores."""

from mmpkd.metrics.cnr import ContrastToNoise
from mmpkd.metrics.iou import IoU, MeanIoU
from mmpkd.metrics.pointing_game import PointingGame
from mmpkd.metrics.ranking import PixelAUROC, PixelAveragePrecision
from mmpkd.metrics.relevance_mass import RelevanceMass, RelevanceRank
from mmpkd.metrics.roi_metric import RoiMetric


def default_scores(top_area: float) -> list[RoiMetric]:
    """Return the default localization scores, one of each kind.

    Args:
        top_area: Share of the frame in (0, 1] that `iou_top_area` selects.

    Example:
        >>> [score.name for score in default_scores(0.1)][:5]
        ['pointing_game', 'iou_top_area', 'iou_otsu', 'miou', 'relevance_mass']
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
