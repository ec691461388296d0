"""Relevance mass accuracy."""

import torch
from torch import Tensor

from mmpkd.attribution.heatmap import upsample
from mmpkd.metrics.roi import RoiMetric, check_roi


def relevance_mass(heatmap: Tensor, mask: Tensor) -> Tensor:
    """Share of the positive relevance that lies in the ROI (Arras et al. 2022, eq. 1, https://arxiv.org/abs/2003.07258).

    Min-max scaling would move the share, so the heatmap is taken unscaled.

    Args:
        heatmap: Float (R, H, W), in pixels of the mask, not scaled.
        mask: Bool (R, H, W).

    Returns:
        Float32 (R,) in [0, 1]; NaN for an empty ROI or a heatmap without positive values.

    Raises:
        ValueError: If shapes or types do not fit.
    """
    check_roi(heatmap, mask, same_size=True)
    positive = heatmap.float().clamp_min(0)
    # 0 / 0 is the NaN of a heatmap without relevance
    share = (positive * mask).sum((1, 2)) / positive.sum((1, 2))
    return share.masked_fill(~mask.any(2).any(1), torch.nan)


class RelevanceMass(RoiMetric):
    """Mean relevance mass over ROI pairs; see `relevance_mass`."""

    def score(self, heatmap: Tensor, mask: Tensor) -> Tensor:
        """Return the score (R,) of heatmaps (R, h, w), interpolated to the mask."""
        return relevance_mass(upsample(heatmap, (int(mask.shape[1]), int(mask.shape[2]))), mask)
