"""Relevance mass accuracy and relevance rank accuracy."""

from torch import Tensor

from mmpkd.metrics.pairs import HeatmapPairs, one_to_one
from mmpkd.metrics.roi_metric import RoiMetric


def relevance_mass(heatmap: Tensor, mask: Tensor) -> Tensor:
    """Return the share of the positive relevance that lies in the ROI.

    The heatmap is interpolated to the size of the mask but not scaled: min-max scaling would change the share.

    Source: Arras et al. 2022, eq. 1, https://arxiv.org/abs/2003.07258.

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
    """Mean relevance mass over pairs of heatmap and ROI; see `relevance_mass`.

    Example:
        >>> import torch
        >>> score = RelevanceMass()
        >>> score.update(torch.tensor([[[1.0, 0.0, 0.0, 3.0]]]), torch.tensor([[[False, False, False, True]]]))
        >>> score.compute()
        tensor(0.7500)
    """

    name = "relevance_mass"

    def score(self, pairs: HeatmapPairs) -> Tensor:
        """Return the score of each ROI, float32 (R,)."""
        positive = pairs.pixels.clamp_min(0)  # (b, H*W)
        # 0 / 0 is NaN, as it should be for a heatmap without positive values
        return pairs.nan_where_undefined(pairs.sum_inside(positive) / pairs.per_roi(positive.sum(1)))


def relevance_rank(heatmap: Tensor, mask: Tensor) -> Tensor:
    """Return the share of the n pixels with the largest values that lie in the ROI, for an ROI of n pixels.

    If pixels tie for the last places, the score is the expected value of a random choice among them.

    Source: Arras et al. 2022, eq. 2, https://arxiv.org/abs/2003.07258.

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
    """Mean relevance rank accuracy over pairs of heatmap and ROI; see `relevance_rank`.

    Example:
        >>> import torch
        >>> score = RelevanceRank()
        >>> score.update(torch.tensor([[[4.0, 1.0, 2.0, 3.0]]]), torch.tensor([[[False, False, True, True]]]))
        >>> score.compute()  # of the two largest pixels, one is inside
        tensor(0.5000)
    """

    name = "relevance_rank"

    def score(self, pairs: HeatmapPairs) -> Tensor:
        """Return the score of each ROI, float32 (R,)."""
        num_pixels = pairs.rois.num_pixels.clamp(min=1)
        return pairs.nan_where_undefined((pairs.expected_hits(num_pixels) / num_pixels).float())
