"""What every localization score is."""

from abc import abstractmethod

import torch
from torch import Tensor
from torchmetrics import Metric

from mmpkd.metrics.pairs import HeatmapPairs, one_to_one


class RoiMetric(Metric):  # type: ignore[misc]
    """Mean of a score over (image, finding) pairs with an ROI; undefined ones are left out and counted, never scored 0 or 1.

    A subclass gives a `name` and implements `score`.
    """

    full_state_update = False
    name: str
    total: Tensor
    num_roi: Tensor
    num_undefined: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", torch.tensor(0.0, dtype=torch.float64), dist_reduce_fx="sum")
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
        self.total += score.double().nansum()
        self.num_roi += len(score)
        self.num_undefined += score.isnan().sum()

    def compute(self) -> Tensor:
        """Return the mean over the defined scores, NaN if there is none."""
        return (self.total / (self.num_roi - self.num_undefined)).float()
