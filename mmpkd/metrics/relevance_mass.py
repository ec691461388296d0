"""Relevance mass accuracy and relevance rank accuracy."""

from torch import Tensor

from mmpkd.metrics.pairs import HeatmapPairs, one_to_one
from mmpkd.metrics.roi_metric import RoiMetric


def relevance_mass(heatmap: Tensor, mask: Tensor) -> Tensor:
    """Share of the positive relevance that lies in the ROI (Arras et al. 2022, eq. 1, https://arxiv.org/abs/2003.07258).

    The heatmap is interpolated but not scaled, since min-max scaling would change the share.

    Args:
        heatmap: Float (R, h, w).
        mask: Bool (R, H, W).

    Returns:
        Float32 (R,) in [0, 1]; NaN for an empty ROI or a heatmap without positive values.

    Raises:
        ValueError: If shapes or types do not fit.

    Example:
        >>> import torch
        >>> heatmap = torch.tensor([[[1.0, 0.0, 0.0, 3.0]]])
        >>> mask = torch.tensor([[[False, False, False, True]]])
        >>> relevance_mass(heatmap, mask)
        tensor([0.7500])
    """
    return RelevanceMass().score(one_to_one(heatmap, mask))


class RelevanceMass(RoiMetric):
    """Mean relevance mass over ROI pairs; see `relevance_mass`."""

    name = "relevance_mass"

    def score(self, pairs: HeatmapPairs) -> Tensor:
        """Return the score of each ROI."""
        positive = pairs.pixels.clamp_min(0)  # (b, H*W)
        # 0 / 0 gives the NaN of a heatmap without positive values
        return pairs.nan_where_undefined(pairs.sum_inside(positive) / pairs.per_roi(positive.sum(1)))


def relevance_rank(heatmap: Tensor, mask: Tensor) -> Tensor:
    """Share of the n largest pixels that lie in the ROI, for an ROI of n pixels.

    Source: Arras et al. 2022, eq. 2, https://arxiv.org/abs/2003.07258. If pixels tie for the last places, the score is the
    expectation of a random choice among them.

    Args:
        heatmap: Float (R, h, w).
        mask: Bool (R, H, W).

    Returns:
        Float32 (R,) in [0, 1]; NaN for an empty ROI.

    Raises:
        ValueError: If shapes or types do not fit.

    Example:
        >>> import torch
        >>> heatmap = torch.tensor([[[4.0, 1.0, 2.0, 3.0]]])
        >>> mask = torch.tensor([[[False, False, True, True]]])
        >>> relevance_rank(heatmap, mask)  # of the two largest pixels, one is inside
        tensor([0.5000])
    """
    return RelevanceRank().score(one_to_one(heatmap, mask))


class RelevanceRank(RoiMetric):
    """Mean relevance rank accuracy over ROI pairs; see `relevance_rank`."""

    name = "relevance_rank"

    def score(self, pairs: HeatmapPairs) -> Tensor:
        """Return the score of each ROI."""
        num_pixels = pairs.rois.num_pixels.clamp(min=1)
        return pairs.nan_where_undefined((pairs.expected_hits(num_pixels) / num_pixels).float())
