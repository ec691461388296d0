"""Contrast-to-noise ratio."""

import torch
from torch import Tensor

from mmpkd.metrics.pairs import HeatmapPairs, one_to_one
from mmpkd.metrics.roi_metric import RoiMetric

# variances of values in [0, 1] below this count as 0; rounding in a constant region gives a hundred times less
_SMALLEST_SPREAD = 1e-12


def contrast_to_noise(heatmap: Tensor, mask: Tensor, absolute: bool = False) -> Tensor:
    """Return the contrast-to-noise ratio of a heatmap inside and outside the ROI.

    It is (mean inside - mean outside) / sqrt(variance inside + variance outside), with population variances.

    Source: Boecking et al. 2022, section 5.2, https://arxiv.org/abs/2204.09817, who report the absolute value.

    Args:
        heatmap: Float (R, h, w), interpolated to the size of the mask. Its scale and offset do not matter.
        mask: Bool (R, H, W).
        absolute: Whether to return the absolute value. A map that avoids the ROI then scores as high as one that shows it.

    Returns:
        Float32 (R,); NaN for an empty ROI, an ROI that fills the frame, or a heatmap that is constant inside and outside.

    Raises:
        ValueError: If shapes or types do not fit.

    Example:
        >>> import torch
        >>> heatmap = torch.tensor([[[0.0, 2.0, 3.0, 5.0]]])
        >>> mask = torch.tensor([[[False, False, True, True]]])
        >>> contrast_to_noise(heatmap, mask)  # (4 - 1) / sqrt(1 + 1)
        tensor([2.1213])
    """
    return ContrastToNoise(absolute).score(one_to_one(heatmap, mask))


class ContrastToNoise(RoiMetric):
    """Mean contrast-to-noise ratio over pairs of heatmap and ROI; see `contrast_to_noise`.

    Args:
        absolute: Whether to take the absolute value.

    Example:
        >>> import torch
        >>> score = ContrastToNoise()
        >>> score.update(torch.tensor([[[0.0, 2.0, 3.0, 5.0]]]), torch.tensor([[[False, False, True, True]]]))
        >>> score.compute()  # (4 - 1) / sqrt(1 + 1)
        tensor(2.1213)
    """

    def __init__(self, absolute: bool = False) -> None:
        super().__init__()
        self.absolute = absolute
        self.name = "cnr_absolute" if absolute else "cnr"

    def score(self, pairs: HeatmapPairs) -> Tensor:
        """Return the score of each ROI, float32 (R,)."""
        values = pairs.per_roi(pairs.scaled)  # (R, H*W)
        inside = pairs.rois.mask.flatten(1)
        mean, variance = _mean_and_variance(values, inside)
        other_mean, other_variance = _mean_and_variance(values, ~inside)
        spread = variance + other_variance
        ratio = ((mean - other_mean) / spread.sqrt()).masked_fill(spread < _SMALLEST_SPREAD, torch.nan)
        return pairs.nan_where_undefined(ratio.abs() if self.absolute else ratio)


def _mean_and_variance(values: Tensor, region: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and population variance (R,) of values (R, n) in a region, bool (R, n); NaN if it is empty."""
    num_pixels = region.sum(1, keepdim=True)
    mean = (values * region).sum(1, keepdim=True) / num_pixels  # (R, 1)
    # a second pass: where values hardly vary, mean square minus squared mean would be only rounding error
    squares = (values - mean).mul_(region).square_()
    return mean[:, 0], squares.sum(1) / num_pixels[:, 0]
