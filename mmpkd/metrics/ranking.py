"""Ranking scores: does the heatmap rank the pixels inside the ROI above those outside?

Heatmaps are rounded to 16 bits. Values that round to the same number tie.
"""

import torch
from torch import Tensor

from mmpkd.metrics.pairs import NUM_LEVELS, HeatmapPairs, one_to_one
from mmpkd.metrics.roi_metric import RoiMetric

_UNITS = 2.0**32


def pixel_auroc(heatmap: Tensor, mask: Tensor) -> Tensor:
    """Return the probability that a pixel inside the ROI has a larger value than one outside; ties count half.

    Args:
        heatmap: Float (R, h, w), interpolated to the size of the mask.
        mask: Bool (R, H, W).

    Returns:
        Float32 (R,) in [0, 1]; 0.5 for a constant heatmap; NaN for an empty ROI or one that fills the frame.

    Raises:
        ValueError: If shapes or types do not fit.

    Example:
        >>> import torch
        >>> heatmap = torch.tensor([[[1.0, 2.0, 3.0, 4.0]]])
        >>> mask = torch.tensor([[[False, True, False, True]]])
        >>> pixel_auroc(heatmap, mask)  # three of four pairs are in order
        tensor([0.7500])
    """
    return PixelAUROC().score(one_to_one(heatmap, mask))


def pixel_average_precision(heatmap: Tensor, mask: Tensor) -> Tensor:
    """Return the average precision of the ROI's pixels: the sum over thresholds of precision times the increase in recall.

    Args:
        heatmap: Float (R, h, w), interpolated to the size of the mask.
        mask: Bool (R, H, W).

    Returns:
        Float32 (R,) in (0, 1]; the ROI's share of the frame for a constant heatmap; NaN for an empty ROI.

    Raises:
        ValueError: If shapes or types do not fit.

    Example:
        >>> import torch
        >>> heatmap = torch.tensor([[[1.0, 2.0, 3.0, 4.0]]])
        >>> mask = torch.tensor([[[False, True, False, True]]])
        >>> pixel_average_precision(heatmap, mask)  # (1 + 2/3) / 2
        tensor([0.8333])
    """
    return PixelAveragePrecision().score(one_to_one(heatmap, mask))


class PixelAUROC(RoiMetric):
    """Mean pixel AUROC over pairs of heatmap and ROI; see `pixel_auroc`.

    Example:
        >>> import torch
        >>> score = PixelAUROC()
        >>> score.update(torch.tensor([[[1.0, 2.0, 3.0, 4.0]]]), torch.tensor([[[False, True, False, True]]]))
        >>> score.compute()  # three of four pairs are in order
        tensor(0.7500)
    """

    name = "pixel_auroc"

    def score(self, pairs: HeatmapPairs) -> Tensor:
        """Return the score of each ROI, float32 (R,)."""
        lower, not_higher = pairs.hit_ranks  # (n,) each
        num_inside = pairs.rois.num_pixels  # (R,)
        num_outside = pairs.levels.shape[1] - num_inside
        # twice the number of (inside, outside) pairs in order, ties counting half; (inside, inside) pairs add up to n^2
        beaten = pairs.sum_hits(lower + not_higher) - num_inside.square()
        score = beaten.float() / (2 * num_inside * num_outside).float()
        return pairs.nan_where_undefined(score.masked_fill(num_outside == 0, torch.nan))


class PixelAveragePrecision(RoiMetric):
    """Mean pixel average precision over pairs of heatmap and ROI; see `pixel_average_precision`.

    Example:
        >>> import torch
        >>> score = PixelAveragePrecision()
        >>> score.update(torch.tensor([[[1.0, 2.0, 3.0, 4.0]]]), torch.tensor([[[False, True, False, True]]]))
        >>> score.compute()  # (1 + 2/3) / 2
        tensor(0.8333)
    """

    name = "pixel_ap"

    def score(self, pairs: HeatmapPairs) -> Tensor:
        """Return the score of each ROI, float32 (R,)."""
        roi = pairs.rois.inside_pixels[0]  # (n,)
        num_inside = pairs.rois.num_pixels  # (R,)
        # for each pixel inside: how many pixels are at least as large, in the ROI and in the whole frame
        below = pairs.num_hits_below.flatten().index_select(0, roi * (NUM_LEVELS + 1) + pairs.hit_levels)
        num_hits = num_inside[roi] - below
        num_selected = pairs.levels.shape[1] - pairs.hit_ranks[0]
        # in integer units of 2^-32, whose sum is exact on any device, however many pixels there are
        precision = (num_hits.float() / num_selected.float() * _UNITS).long()
        return pairs.nan_where_undefined(pairs.sum_hits(precision).float() / (num_inside.float() * _UNITS))
