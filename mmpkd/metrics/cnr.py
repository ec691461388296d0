"""Contrast-to-noise ratio."""

import torch
from torch import Tensor

from mmpkd.metrics.pairs import HeatmapPairs, one_to_one
from mmpkd.metrics.roi_metric import RoiMetric

# of values in [0, 1]: what float32 leaves of a region of one value is a hundred times less
_SMALLEST_SPREAD = 1e-12


def contrast_to_noise(heatmap: Tensor, mask: Tensor, absolute: bool = False) -> Tensor:
    """(mean inside - mean outside) / sqrt(variance inside + variance outside), population variances.

    Source: Boecking et al. 2022, section 5.2, https://arxiv.org/abs/2204.09817, who report the absolute value.

    Args:
        heatmap: Float (R, h, w), interpolated to the mask; neither its scale nor its offset has any influence.
        mask: Bool (R, H, W).
        absolute: Whether to return the absolute value, under which a map that avoids the ROI scores as one that shows it.

    Returns:
        Float32 (R,); NaN for an empty ROI, one that fills the frame, or a heatmap that is constant inside and constant outside.

    Raises:
        ValueError: If shapes or types do not fit.
    """
    return ContrastToNoise(absolute).score(one_to_one(heatmap, mask))


class ContrastToNoise(RoiMetric):
    """Mean contrast-to-noise ratio over ROI pairs; see `contrast_to_noise`.

    Args:
        absolute: Whether to take the absolute value.
    """

    def __init__(self, absolute: bool = False) -> None:
        super().__init__()
        self.absolute = absolute
        self.name = "cnr_absolute" if absolute else "cnr"

    def score(self, pairs: HeatmapPairs) -> Tensor:
        """Return the score of each ROI."""
        values, inside = pairs.own(pairs.scaled), pairs.rois.mask.flatten(1)
        mean, variance = _mean_and_variance(values, inside)
        other_mean, other_variance = _mean_and_variance(values, ~inside)
        spread = variance + other_variance
        ratio = ((mean - other_mean) / spread.sqrt()).masked_fill(spread < _SMALLEST_SPREAD, torch.nan)
        return pairs.defined(ratio.abs() if self.absolute else ratio)


def _mean_and_variance(values: Tensor, region: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and population variance (R,) of values (R, n) in a region, bool (R, n); NaN if it is empty."""
    num = region.sum(1, keepdim=True)
    mean = (values * region).sum(1, keepdim=True) / num
    # in a second pass: the difference of the mean square and the squared mean would be rounding where nothing varies
    squares = (values - mean).mul_(region).square_()
    return mean[:, 0], squares.sum(1) / num[:, 0]
