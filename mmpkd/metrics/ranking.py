"""Pixel by pixel: does the heatmap rank the ROI above the rest? In 16 bits: nearer values tie."""

import torch
from torch import Tensor

from mmpkd.metrics.pairs import NUM_LEVELS, HeatmapPairs, one_to_one
from mmpkd.metrics.roi_metric import RoiMetric

UNITS = 2.0**32


def pixel_auroc(heatmap: Tensor, mask: Tensor) -> Tensor:
    """Probability that a pixel of the ROI has a larger value than one outside, ties counting half.

    Args:
        heatmap: Float (R, h, w), interpolated to the mask.
        mask: Bool (R, H, W).

    Returns:
        Float32 (R,) in [0, 1]; 0.5 for a constant heatmap; NaN for an empty ROI or one that fills the frame.

    Raises:
        ValueError: If shapes or types do not fit.
    """
    return PixelAUROC().score(one_to_one(heatmap, mask))


def pixel_average_precision(heatmap: Tensor, mask: Tensor) -> Tensor:
    """Average precision of the ROI's pixels: the sum over thresholds of precision times the step in recall.

    Args:
        heatmap: Float (R, h, w), interpolated to the mask.
        mask: Bool (R, H, W).

    Returns:
        Float32 (R,) in (0, 1]; the area fraction for a constant heatmap; NaN for an empty ROI.

    Raises:
        ValueError: If shapes or types do not fit.
    """
    return PixelAveragePrecision().score(one_to_one(heatmap, mask))


class PixelAUROC(RoiMetric):
    """Mean pixel AUROC over ROI pairs; see `pixel_auroc`."""

    name = "pixel_auroc"

    def score(self, pairs: HeatmapPairs) -> Tensor:
        """Return the score of each ROI."""
        lower, not_higher = pairs.hit_ranks
        num = pairs.rois.num_pixels
        rest = pairs.levels.shape[1] - num
        # in halves: what each pixel inside beats, ties counting half, less what the pixels inside beat among themselves
        beaten = pairs.sum_hits(lower + not_higher) - num.square()
        return pairs.defined((beaten.float() / (2 * num * rest).float()).masked_fill(rest == 0, torch.nan))


class PixelAveragePrecision(RoiMetric):
    """Mean pixel average precision over ROI pairs; see `pixel_average_precision`."""

    name = "pixel_ap"

    def score(self, pairs: HeatmapPairs) -> Tensor:
        """Return the score of each ROI."""
        (pair, _), num = pairs.rois.inside_pixels, pairs.rois.num_pixels
        # of each pixel inside: how many inside, and how many at all, have at least its value
        inside = num[pair] - pairs.hits_below.flatten().index_select(0, pair * (NUM_LEVELS + 1) + pairs.hit_levels)
        everywhere = pairs.levels.shape[1] - pairs.hit_ranks[0]
        # in units of 2^-32, so that the sum over very many pixels is exact on any device
        precision = (inside.float() / everywhere.float() * UNITS).long()
        return pairs.defined(pairs.sum_hits(precision).float() / (num.float() * UNITS))
