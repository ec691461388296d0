"""Relevance mass accuracy and relevance rank accuracy."""

from torch import Tensor

from mmpkd.metrics.pairs import HeatmapPairs, one_to_one
from mmpkd.metrics.roi_metric import RoiMetric


def relevance_mass(heatmap: Tensor, mask: Tensor) -> Tensor:
    """Share of the positive relevance that lies in the ROI (Arras et al. 2022, eq. 1, https://arxiv.org/abs/2003.07258).

    Min-max scaling would move the share, so the heatmap is interpolated and not scaled.

    Args:
        heatmap: Float (R, h, w).
        mask: Bool (R, H, W).

    Returns:
        Float32 (R,) in [0, 1]; NaN for an empty ROI or a heatmap without positive values.

    Raises:
        ValueError: If shapes or types do not fit.
    """
    return RelevanceMass().score(one_to_one(heatmap, mask))


class RelevanceMass(RoiMetric):
    """Mean relevance mass over ROI pairs; see `relevance_mass`."""

    name = "relevance_mass"

    def score(self, pairs: HeatmapPairs) -> Tensor:
        """Return the score of each ROI."""
        positive = pairs.pixels.clamp_min(0)
        # 0 / 0 is the NaN of a heatmap without relevance
        return pairs.defined(pairs.inside(positive) / pairs.own(positive.sum(1)))


def relevance_rank(heatmap: Tensor, mask: Tensor) -> Tensor:
    """Share of the n largest pixels that lie in the ROI, for an ROI of n pixels (Arras et al. 2022, eq. 2,
    https://arxiv.org/abs/2003.07258).

    Of pixels that tie at the border, the expected share under a random choice counts.

    Args:
        heatmap: Float (R, h, w).
        mask: Bool (R, H, W).

    Returns:
        Float32 (R,) in [0, 1]; NaN for an empty ROI.

    Raises:
        ValueError: If shapes or types do not fit.
    """  # noqa: D205
    return RelevanceRank().score(one_to_one(heatmap, mask))


class RelevanceRank(RoiMetric):
    """Mean relevance rank accuracy over ROI pairs; see `relevance_rank`."""

    name = "relevance_rank"

    def score(self, pairs: HeatmapPairs) -> Tensor:
        """Return the score of each ROI."""
        num = pairs.rois.num_pixels.clamp(min=1)
        return pairs.defined((pairs.expected_hits(num) / num).float())
