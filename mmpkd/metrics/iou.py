"""Intersection over union of a thresholded heatmap and a ROI; the rule for the threshold is part of the name."""

from typing import Literal

import torch
from torch import Tensor

from mmpkd.attribution.heatmap import is_constant, resize_heatmap
from mmpkd.metrics.roi import RoiMetric, check_roi

Threshold = Literal["otsu", "top_area"] | float
_BINS = 256


def iou(heatmap: Tensor, mask: Tensor, threshold: Threshold = "otsu", area: float = 0.1) -> Tensor:
    """Intersection over union of {heatmap > threshold}, strictly, and the ROI.

    Under `otsu` and `top_area` a constant heatmap singles out nothing: its region is the whole frame, which scores the
    ROI's area fraction. So does the all-ones control.

    Args:
        heatmap: Float (R, H, W) in [0, 1], in pixels of the mask.
        mask: Bool (R, H, W).
        threshold: A number, `otsu` (see `otsu_threshold`), or `top_area`: the `area` share of pixels with the largest
            values; pixels that tie at the border count by the share of them that fits.
        area: Share in (0, 1] of the frame that `top_area` selects.

    Returns:
        Float32 (R,) in [0, 1]; NaN for an empty ROI.

    Raises:
        ValueError: If shapes, types or values do not fit.
    """
    check_roi(heatmap, mask, same_size=True)
    region = _region(heatmap, threshold, area)
    truth = mask.float()
    intersection = (region * truth).sum((1, 2))
    union = region.sum((1, 2)) + truth.sum((1, 2)) - intersection
    return (intersection / union).masked_fill(~mask.any(2).any(1), torch.nan)


def otsu_threshold(heatmap: Tensor) -> Tensor:
    """Threshold of the largest variance between classes (Otsu 1979, https://doi.org/10.1109/TSMC.1979.4310076).

    As in CheXlocalize (Saporta et al. 2022, https://doi.org/10.1038/s42256-022-00536-x), on 8-bit values, with
    `cv2.THRESH_OTSU`.

    Args:
        heatmap: Float (R, H, W) in [0, 1].

    Returns:
        Int64 (R,) in [0, 255]; a pixel is in the region if its 8-bit value is larger.
    """
    values = _to_8_bit(heatmap).flatten(1)
    counts = torch.zeros(len(values), _BINS, dtype=torch.float64, device=values.device)
    counts.scatter_add_(1, values, torch.ones_like(values, dtype=torch.float64))
    share = (counts / max(values.shape[1], 1)).cumsum(1)
    moment = (counts / max(values.shape[1], 1) * torch.arange(_BINS, device=values.device)).cumsum(1)
    spread = (moment[:, -1:] * share - moment).square() / (share * (1 - share)).clamp_min(
        torch.finfo(torch.float64).tiny
    )
    # running sums reach 1 only up to rounding: a class of less than one pixel is empty
    empty = (counts.cumsum(1) == 0) | (counts.cumsum(1) == values.shape[1])
    return spread.masked_fill(empty, -1).argmax(1)


def _region(heatmap: Tensor, threshold: Threshold, area: float) -> Tensor:
    """Return the region as weights (R, H, W) in [0, 1]."""
    if isinstance(threshold, float | int):
        return (heatmap > threshold).float()
    if threshold == "otsu":
        region = (_to_8_bit(heatmap) > otsu_threshold(heatmap)[:, None, None]).float()
    elif threshold == "top_area":
        region = _top_area(heatmap, area)
    else:
        raise ValueError(f"Expected `threshold` to be a number, 'otsu' or 'top_area' but got '{threshold}'.")
    return region.masked_fill(is_constant(heatmap)[:, None, None], 1)


def _top_area(heatmap: Tensor, area: float) -> Tensor:
    if not 0 < area <= 1:
        raise ValueError(f"Expected `area` in (0, 1] but got {area}.")
    flat = heatmap.flatten(1)
    num_pixels = max(1, round(area * flat.shape[1]))
    border = flat.topk(num_pixels, dim=1, sorted=False).values.amin(1, keepdim=True)
    above, tied = flat > border, flat == border
    share = (num_pixels - above.sum(1, keepdim=True)) / tied.sum(1, keepdim=True)
    return (above + tied * share).reshape(heatmap.shape)


def _to_8_bit(heatmap: Tensor) -> Tensor:
    return (heatmap * (_BINS - 1)).long().clamp(0, _BINS - 1)


class IoU(RoiMetric):
    """Mean IoU over ROI pairs; see `iou`. Heatmaps are resized to the mask and then scaled to [0, 1].

    Args:
        threshold: A number, `otsu` or `top_area`.
        area: Share in (0, 1] of the frame that `top_area` selects.
    """

    def __init__(self, threshold: Threshold = "otsu", area: float = 0.1) -> None:
        super().__init__()
        self.threshold, self.area = threshold, area

    def score(self, heatmap: Tensor, mask: Tensor) -> Tensor:
        """Return the score (R,) of heatmaps (R, h, w)."""
        resized = resize_heatmap(heatmap, (int(mask.shape[1]), int(mask.shape[2])))
        return iou(resized, mask, self.threshold, self.area)
