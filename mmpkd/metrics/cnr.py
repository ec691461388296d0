"""Contrast-to-noise ratio."""

import torch
from torch import Tensor

from mmpkd.metrics.pairs import HeatmapPairs, one_to_one
from mmpkd.metrics.roi_metric import RoiMetric


def contrast_to_noise(heatmap: Tensor, mask: Tensor, absolute: bool = False) -> Tensor:
    """(mean inside - mean outside) / sqrt(variance inside + variance outside), population variances.

    Source: Boecking et al. 2022, section 5.2, https://arxiv.org/abs/2204.09817, who report the absolute value.

    Args:
        heatmap: Float (R, h, w), interpolated to the mask; its scale has no influence.
        mask: Bool (R, H, W).
        absolute: Whether to return the absolute value, under which a map that avoids the ROI scores as one that shows it.

    Returns:
        Float32 (R,); NaN for an empty ROI, one that fills the frame, or a heatmap without variance inside and outside.

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
        # centred, so that the squares of a flat map are not lost in their difference
        centred = pairs.scaled - pairs.scaled.mean(1, keepdim=True)
        powers = (centred, centred.square())
        # the differences are taken in float64, which only the CPU has for sure
        within = [pairs.inside(power).cpu().double() for power in powers]
        without = [pairs.own(power.sum(1)).cpu().double() - part for power, part in zip(powers, within, strict=True)]
        num = pairs.rois.num_pixels.cpu().double()
        rest = centred.shape[1] - num
        mean, other = within[0] / num, without[0] / rest
        spread = (within[1] / num - mean.square()).clamp_min(0) + (without[1] / rest - other.square()).clamp_min(0)
        ratio = ((mean - other) / spread.sqrt()).masked_fill((rest == 0) | (spread < 1e-12), torch.nan)
        ratio = ratio.float().to(centred.device)
        return pairs.defined(ratio.abs() if self.absolute else ratio)
