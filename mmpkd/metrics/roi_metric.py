"""Base class of localization scores."""

from abc import abstractmethod

import torch
from torch import Tensor
from torchmetrics import Metric

from mmpkd.metrics.pairs import HeatmapPairs, one_to_one


class RoiMetric(Metric):  # type: ignore[misc]
    """Mean of a score over pairs of heatmap and ROI.

    Undefined scores are excluded from the mean and counted in `num_undefined`; they never count as 0 or 1. Subclasses set
    `name` and implement `score`.

    Example:
        >>> import torch
        >>> class InsideMean(RoiMetric):
        ...     name = "inside_mean"
        ...     def score(self, pairs):
        ...         return pairs.nan_where_undefined(pairs.sum_inside(pairs.scaled) / pairs.rois.num_pixels)
        >>> score = InsideMean()
        >>> score.update(torch.tensor([[[0.0, 1.0]]]), torch.tensor([[[False, True]]]))
        >>> score.compute()
        tensor(1.)
    """

    full_state_update = False
    name: str
    total: Tensor
    lost: Tensor
    num_roi: Tensor
    num_undefined: Tensor

    def __init__(self) -> None:
        super().__init__()
        # not every device supports float64, so the rounding error of the float32 sum is tracked separately
        self.add_state("total", torch.tensor(0.0), dist_reduce_fx="sum")
        self.add_state("lost", torch.tensor(0.0), dist_reduce_fx="sum")
        self.add_state("num_roi", torch.tensor(0), dist_reduce_fx="sum")
        self.add_state("num_undefined", torch.tensor(0), dist_reduce_fx="sum")

    @abstractmethod
    def score(self, pairs: HeatmapPairs) -> Tensor:
        """Return the score of each ROI, float32 (R,), NaN where undefined."""

    def update(self, heatmap: Tensor, mask: Tensor) -> None:
        """Add R pairs of heatmap and ROI.

        Args:
            heatmap: Float (R, h, w) on the patch grid, values >= 0.
            mask: Bool (R, H, W).

        Raises:
            ValueError: If types or shapes do not fit.
        """
        score = self.score(one_to_one(heatmap, mask))
        part = score.nansum()
        total = self.total + part
        added = total - self.total
        # Knuth's TwoSum: the exact rounding error of `total + part`
        self.lost += (self.total - (total - added)) + (part - added)
        self.total = total
        self.num_roi += len(score)
        self.num_undefined += score.isnan().sum()

    def compute(self) -> Tensor:
        """Return the mean over the defined scores, float32 scalar; NaN if there are none."""
        return (self.total + self.lost) / (self.num_roi - self.num_undefined)
