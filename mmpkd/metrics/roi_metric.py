"""The base class of localization scores."""

from abc import abstractmethod

import torch
from torch import Tensor
from torchmetrics import Metric

from mmpkd.metrics.pairs import HeatmapPairs, one_to_one


class RoiMetric(Metric):  # type: ignore[misc]
    """Mean of a score over (image, finding) pairs with an ROI.

    Undefined scores are left out of the mean and counted; they never count as 0 or 1. A subclass has a `name` and implements
    `score`.
    """

    full_state_update = False
    name: str
    total: Tensor
    lost: Tensor
    num_roi: Tensor
    num_undefined: Tensor

    def __init__(self) -> None:
        super().__init__()
        # not every device has float64, so the rounding error of a float32 sum is kept separately
        self.add_state("total", torch.tensor(0.0), dist_reduce_fx="sum")
        self.add_state("lost", torch.tensor(0.0), dist_reduce_fx="sum")
        self.add_state("num_roi", torch.tensor(0), dist_reduce_fx="sum")
        self.add_state("num_undefined", torch.tensor(0), dist_reduce_fx="sum")

    @abstractmethod
    def score(self, pairs: HeatmapPairs) -> Tensor:
        """Return the score of each ROI, float32 (R,), NaN where undefined."""

    def update(self, heatmap: Tensor, mask: Tensor) -> None:
        """Add R pairs.

        Args:
            heatmap: Float (R, h, w) on the patch grid, values >= 0.
            mask: Bool (R, H, W).
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
        """Return the mean over the defined scores, NaN if there is none."""
        return (self.total + self.lost) / (self.num_roi - self.num_undefined)
