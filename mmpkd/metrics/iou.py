"""Intersection over union of a thresholded heatmap and an ROI. The name of each score includes its threshold."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from mmpkd.metrics.pairs import NUM_LEVELS, TOP_LEVEL, HeatmapPairs, one_to_one
from mmpkd.metrics.roi_metric import RoiMetric

Threshold = Literal["otsu", "top_area"] | float
NUM_BYTES = 256
# 16-bit levels per 8-bit value
BYTE = TOP_LEVEL // 255
# of the mean IoU in Boecking et al. 2022
BIOVIL_THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5)


def iou(heatmap: Tensor, mask: Tensor, threshold: Threshold = "otsu", area: float = 0.1) -> Tensor:
    """Return the intersection over union (IoU) of {heatmap > threshold} and the ROI.

    The heatmap is interpolated to the size of the mask, scaled to [0, 1], and rounded to 16 bits. A constant heatmap, such as
    the all-ones baseline map, selects the whole frame at every threshold, so its IoU is the ROI's share of the frame.

    Args:
        heatmap: Float (R, h, w), any range.
        mask: Bool (R, H, W).
        threshold: A number in [0, 1), `otsu` (see `otsu_threshold`), or `top_area`, which selects the `area` share of pixels
            with the largest values. Pixels that tie for the last places are selected in part, all with the same weight.
        area: Share in (0, 1] of the frame that `top_area` selects.

    Returns:
        Float32 (R,) in [0, 1]; NaN for an empty ROI.

    Raises:
        ValueError: If shapes, types or values do not fit.

    Example:
        >>> import torch
        >>> heatmap = torch.tensor([[[0.0, 0.2, 0.8, 1.0]]])
        >>> mask = torch.tensor([[[False, False, False, True]]])
        >>> iou(heatmap, mask, threshold=0.5)  # two pixels are selected
        tensor([0.5000])
        >>> iou(heatmap, mask, threshold="top_area", area=0.25)
        tensor([1.])
    """
    return IoU(threshold, area).score(one_to_one(heatmap, mask))


def otsu_threshold(counts: Tensor) -> Tensor:
    """Return the threshold with the largest between-class variance (Otsu 1979, https://doi.org/10.1109/TSMC.1979.4310076).

    It works on 8-bit values and agrees with `cv2.THRESH_OTSU`, which CheXlocalize uses (Saporta et al. 2022,
    https://doi.org/10.1038/s42256-022-00536-x).

    Args:
        counts: Int64 (b, 256), how often each 8-bit value occurs.

    Returns:
        Int64 (b,) in [0, 255]; a pixel is in the region if its 8-bit value is larger.

    Example:
        >>> import torch
        >>> values = torch.tensor([[10, 10, 12, 200]])
        >>> otsu_threshold(torch.stack([row.bincount(minlength=256) for row in values]))
        tensor([12])
    """
    device = counts.device
    counts = counts.cpu()  # variances are compared in float64, which not every accelerator has
    running = counts.cumsum(1)  # (b, 256)
    num_pixels = running[:, -1:]
    share = running.double() / num_pixels  # (b, 256), of the pixels at or below each value
    moment = (counts * torch.arange(NUM_BYTES)).cumsum(1).double() / num_pixels
    tiny = torch.finfo(torch.float64).tiny
    spread = (moment[:, -1:] * share - moment).square() / (share * (1 - share)).clamp_min(tiny)
    # thresholds with all pixels on one side are not candidates
    return spread.masked_fill((running == 0) | (running == num_pixels), -1).argmax(1).to(device)


def iou_above_bytes(pairs: HeatmapPairs) -> Tensor:
    """Return the IoU of {8-bit heatmap > t} and each ROI for every t in [0, 254].

    Args:
        pairs: Heatmaps and ROIs.

    Returns:
        Float32 (R, 255); NaN for an empty ROI. For a constant heatmap, the ROI's share of the frame at every t.

    Example:
        >>> import torch
        >>> pairs = one_to_one(torch.tensor([[[0.0, 1.0]]]), torch.tensor([[[False, True]]]))
        >>> iou_above_bytes(pairs).shape
        torch.Size([1, 255])
    """
    steps = BYTE * torch.arange(1, NUM_BYTES, device=pairs.levels.device)
    return _iou_from(pairs, steps.expand(len(pairs.rois), -1))


def iou_above_byte(pairs: HeatmapPairs, threshold: Tensor) -> Tensor:
    """Return the IoU of {8-bit heatmap > t} and each ROI, float32 (R,), with one threshold t per ROI, int64 (R,)."""
    return _iou_from(pairs, BYTE * (threshold[:, None] + 1))[:, 0]


def _iou_from(pairs: HeatmapPairs, level: Tensor) -> Tensor:
    """Return the IoU of {heatmap >= level} and each ROI, float32 (R, T) for levels (R, T)."""
    return _iou(pairs, pairs.num_hits_from(level), pairs.num_pixels_from(level))


def _iou(pairs: HeatmapPairs, num_hits: Tensor, num_selected: Tensor) -> Tensor:
    """Return the IoU, float32 (R, T), from the number of selected pixels (R, T) and of those inside the ROI (R, T)."""
    score = num_hits.float() / (num_selected + pairs.rois.num_pixels[:, None] - num_hits)
    # a constant map is 0 everywhere after scaling, but selects the whole frame
    score = torch.where(pairs.per_roi(pairs.constant)[:, None], pairs.rois.area[:, None], score)
    return pairs.nan_where_undefined(score)


class IoU(RoiMetric):
    """Mean IoU over pairs of heatmap and ROI; see `iou`.

    Args:
        threshold: A number in [0, 1), `otsu` or `top_area`.
        area: Share in (0, 1] of the frame that `top_area` selects.

    Raises:
        ValueError: If an argument is out of range.

    Example:
        >>> import torch
        >>> score = IoU("top_area", area=0.5)
        >>> score.update(torch.tensor([[[0.0, 1.0]]]), torch.tensor([[[False, False, True, True]]]))
        >>> score.name, score.compute()
        ('iou_top_area', tensor(1.))
    """

    def __init__(self, threshold: Threshold = "otsu", area: float = 0.1) -> None:
        super().__init__()
        is_number = isinstance(threshold, float | int)
        if not (0 <= float(threshold) < 1 if is_number else threshold in ("otsu", "top_area")):
            raise ValueError(f"Expected `threshold` to be in [0, 1), 'otsu' or 'top_area' but got {threshold!r}.")
        if not 0 < area <= 1:
            raise ValueError(f"Expected `area` in (0, 1] but got {area}.")
        self.threshold = threshold
        self.area = area
        self.name = f"iou_{threshold:g}" if is_number else f"iou_{threshold}"

    def score(self, pairs: HeatmapPairs) -> Tensor:
        """Return the score of each ROI, float32 (R,)."""
        if self.threshold == "top_area":
            num_selected = torch.full_like(pairs.rois.num_pixels, max(1, round(self.area * pairs.levels.shape[1])))
            num_hits = pairs.expected_hits(num_selected)
            return _iou(pairs, num_hits[:, None], num_selected[:, None])[:, 0]
        if self.threshold == "otsu":
            return iou_above_byte(pairs, pairs.per_roi(otsu_threshold(byte_counts(pairs))))
        level = torch.full_like(pairs.rois.num_pixels, _first_level_above(self.threshold))
        return _iou_from(pairs, level[:, None])[:, 0]


class MeanIoU(RoiMetric):
    """Mean IoU over fixed thresholds and over pairs of heatmap and ROI (mIoU), as reported for BioViL.

    Source: Boecking et al. 2022, https://arxiv.org/abs/2204.09817.

    Args:
        thresholds: Numbers in [0, 1).

    Raises:
        ValueError: If there is no threshold or one is out of range.

    Example:
        >>> import torch
        >>> score = MeanIoU(thresholds=(0.1, 0.5))
        >>> score.update(torch.tensor([[[0.0, 0.2, 0.8, 1.0]]]), torch.tensor([[[False, False, False, True]]]))
        >>> score.compute()  # (1/3 + 1/2) / 2
        tensor(0.4167)
    """

    name = "miou"

    def __init__(self, thresholds: Sequence[float] = BIOVIL_THRESHOLDS) -> None:
        super().__init__()
        if not thresholds or not all(0 <= value < 1 for value in thresholds):
            raise ValueError(f"Expected `thresholds` in [0, 1), at least one, but got {list(thresholds)}.")
        self.thresholds = tuple(thresholds)

    def score(self, pairs: HeatmapPairs) -> Tensor:
        """Return the mean IoU over the thresholds for each ROI, float32 (R,)."""
        levels = torch.tensor([_first_level_above(value) for value in self.thresholds], device=pairs.levels.device)
        return _iou_from(pairs, levels.expand(len(pairs.rois), -1)).mean(1)


def mean_iou(heatmap: Tensor, mask: Tensor, thresholds: Sequence[float] = BIOVIL_THRESHOLDS) -> Tensor:
    """Return the mean IoU over thresholds (mIoU); see `iou` and `MeanIoU`.

    Args:
        heatmap: Float (R, h, w), any range.
        mask: Bool (R, H, W).
        thresholds: Numbers in [0, 1).

    Returns:
        Float32 (R,) in [0, 1]; NaN for an empty ROI.

    Raises:
        ValueError: If shapes, types or values do not fit.

    Example:
        >>> import torch
        >>> heatmap = torch.tensor([[[0.0, 0.2, 0.8, 1.0]]])
        >>> mask = torch.tensor([[[False, False, False, True]]])
        >>> mean_iou(heatmap, mask, thresholds=(0.1, 0.5))  # (1/3 + 1/2) / 2
        tensor([0.4167])
    """
    return MeanIoU(thresholds).score(one_to_one(heatmap, mask))


def byte_counts(pairs: HeatmapPairs) -> Tensor:
    """Return how often each 8-bit value occurs in each heatmap, int64 (b, 256)."""
    steps = torch.arange(NUM_BYTES + 1, device=pairs.levels.device) * BYTE
    return pairs.num_pixels_below[:, steps.clamp(max=NUM_LEVELS)].long().diff(dim=1)


def _first_level_above(threshold: Literal["otsu", "top_area"] | float) -> int:
    """Return the smallest 16-bit level that is above a threshold in [0, 1)."""
    return int(float(threshold) * TOP_LEVEL) + 1
