"""Intersection over union of a thresholded heatmap and an ROI; the rule for the threshold is part of the name."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from mmpkd.metrics.pairs import NUM_LEVELS, TOP_LEVEL, HeatmapPairs, one_to_one
from mmpkd.metrics.roi_metric import RoiMetric

Threshold = Literal["otsu", "top_area"] | float
NUM_BYTES = 256
BYTE = TOP_LEVEL // 255
BIOVIL_THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5)


def iou(heatmap: Tensor, mask: Tensor, threshold: Threshold = "otsu", area: float = 0.1) -> Tensor:
    """Intersection over union of {heatmap > threshold}, strictly, and the ROI.

    The heatmap is interpolated to the mask, scaled to [0, 1], and taken in 16 bits. A constant heatmap singles out nothing:
    under every rule its region is the whole frame, which scores the ROI's area fraction. So does the all-ones control.

    Args:
        heatmap: Float (R, h, w), any range.
        mask: Bool (R, H, W).
        threshold: A number in [0, 1), `otsu` (see `otsu_threshold`), or `top_area`: the `area` share of pixels with the largest
            values; pixels that tie at the border count by the share of them that fits.
        area: Share in (0, 1] of the frame that `top_area` selects.

    Returns:
        Float32 (R,) in [0, 1]; NaN for an empty ROI.

    Raises:
        ValueError: If shapes, types or values do not fit.
    """
    return IoU(threshold, area).score(one_to_one(heatmap, mask))


def otsu_threshold(counts: Tensor) -> Tensor:
    """Threshold of the largest variance between classes (Otsu 1979, https://doi.org/10.1109/TSMC.1979.4310076).

    As in CheXlocalize (Saporta et al. 2022, https://doi.org/10.1038/s42256-022-00536-x), on 8-bit values, with
    `cv2.THRESH_OTSU`.

    Args:
        counts: Int64 (b, 256), how often each 8-bit value occurs.

    Returns:
        Int64 (b,) in [0, 255]; a pixel is in the region if its 8-bit value is larger.
    """
    device = counts.device
    counts = counts.cpu()  # the variances are compared in float64, which only the CPU has for sure
    running = counts.cumsum(1)
    num = running[:, -1:]
    share = running.double() / num
    moment = (counts * torch.arange(NUM_BYTES)).cumsum(1).double() / num
    tiny = torch.finfo(torch.float64).tiny
    spread = (moment[:, -1:] * share - moment).square() / (share * (1 - share)).clamp_min(tiny)
    return spread.masked_fill((running == 0) | (running == num), -1).argmax(1).to(device)


def iou_above_bytes(pairs: HeatmapPairs) -> Tensor:
    """Return the IoU of {8-bit heatmap > t} and each ROI for every t in [0, 254].

    Args:
        pairs: Heatmaps and ROIs.

    Returns:
        Float32 (R, 255); NaN for an empty ROI. A constant heatmap has the ROI's area at every threshold.
    """
    steps = BYTE * torch.arange(1, NUM_BYTES, device=pairs.levels.device)
    return _iou_from(pairs, steps.expand(len(pairs.rois), -1))


def iou_above_byte(pairs: HeatmapPairs, threshold: Tensor) -> Tensor:
    """Return the IoU of {8-bit heatmap > t} and each ROI, float32 (R,), for a threshold of each ROI, int64 (R,)."""
    return _iou_from(pairs, BYTE * (threshold[:, None] + 1))[:, 0]


def _iou_from(pairs: HeatmapPairs, level: Tensor) -> Tensor:
    """Return the IoU of {level or higher} and each ROI, float32 (R, T) of levels (R, T)."""
    hits = pairs.hits_from(level)
    return _iou(pairs, hits, pairs.num_from(level))


def _iou(pairs: HeatmapPairs, hits: Tensor, num: Tensor) -> Tensor:
    score = hits.float() / (num + pairs.rois.num_pixels[:, None] - hits)
    score = torch.where(pairs.own(pairs.constant)[:, None], pairs.rois.area[:, None], score)
    return pairs.defined(score)


class IoU(RoiMetric):
    """Mean IoU over ROI pairs; see `iou`.

    Args:
        threshold: A number, `otsu` or `top_area`.
        area: Share in (0, 1] of the frame that `top_area` selects.
    """

    def __init__(self, threshold: Threshold = "otsu", area: float = 0.1) -> None:
        super().__init__()
        is_number = isinstance(threshold, float | int)
        if not (0 <= float(threshold) < 1 if is_number else threshold in ("otsu", "top_area")):
            raise ValueError(f"Expected `threshold` to be in [0, 1), 'otsu' or 'top_area' but got {threshold!r}.")
        if not 0 < area <= 1:
            raise ValueError(f"Expected `area` in (0, 1] but got {area}.")
        self.threshold, self.area = threshold, area
        self.name = f"iou_{threshold:g}" if is_number else f"iou_{threshold}"

    def score(self, pairs: HeatmapPairs) -> Tensor:
        """Return the score of each ROI."""
        if self.threshold == "top_area":
            num = torch.full_like(pairs.rois.num_pixels, max(1, round(self.area * pairs.levels.shape[1])))
            return _iou(pairs, pairs.expected_hits(num)[:, None], num[:, None])[:, 0]
        if self.threshold == "otsu":
            return iou_above_byte(pairs, pairs.own(otsu_threshold(byte_counts(pairs))))
        level = torch.full_like(pairs.rois.num_pixels, _first_level_above(self.threshold))
        return _iou_from(pairs, level[:, None])[:, 0]


class MeanIoU(RoiMetric):
    """Mean IoU over ROI pairs and over fixed thresholds, as users of BioViL report it (Boecking et al. 2022,
    https://arxiv.org/abs/2204.09817).

    Args:
        thresholds: Numbers in [0, 1).
    """  # noqa: D205

    name = "miou"

    def __init__(self, thresholds: Sequence[float] = BIOVIL_THRESHOLDS) -> None:
        super().__init__()
        if not thresholds or not all(0 <= value < 1 for value in thresholds):
            raise ValueError(f"Expected `thresholds` in [0, 1), at least one, but got {list(thresholds)}.")
        self.thresholds = tuple(thresholds)

    def score(self, pairs: HeatmapPairs) -> Tensor:
        """Return the mean over the thresholds of each ROI."""
        levels = torch.tensor([_first_level_above(value) for value in self.thresholds], device=pairs.levels.device)
        return _iou_from(pairs, levels.expand(len(pairs.rois), -1)).mean(1)


def mean_iou(heatmap: Tensor, mask: Tensor, thresholds: Sequence[float] = BIOVIL_THRESHOLDS) -> Tensor:
    """Mean over thresholds of the IoU; see `iou` and `MeanIoU`.

    Args:
        heatmap: Float (R, h, w), any range.
        mask: Bool (R, H, W).
        thresholds: Numbers in [0, 1).

    Returns:
        Float32 (R,) in [0, 1]; NaN for an empty ROI.
    """
    return MeanIoU(thresholds).score(one_to_one(heatmap, mask))


def byte_counts(pairs: HeatmapPairs) -> Tensor:
    """Return how often each 8-bit value occurs in each heatmap, int64 (b, 256)."""
    steps = torch.arange(NUM_BYTES + 1, device=pairs.below.device) * BYTE
    return pairs.below[:, steps.clamp(max=NUM_LEVELS)].long().diff(dim=1)


def _first_level_above(threshold: Literal["otsu", "top_area"] | float) -> int:
    return int(float(threshold) * TOP_LEVEL) + 1
