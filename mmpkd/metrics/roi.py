"""What localization scores share: the (image, finding) pair with its region of interest."""

from abc import abstractmethod

import torch
from torch import Tensor
from torchmetrics import Metric


def area_fraction(mask: Tensor) -> Tensor:
    """Return the share (R,) of each frame that its ROI covers: the chance level of pointing game and relevance mass.

    Args:
        mask: Bool (R, H, W).
    """
    return mask.float().mean((1, 2))


def check_roi(heatmap: Tensor, mask: Tensor, same_size: bool) -> None:
    """Check one heatmap per ROI.

    Args:
        heatmap: Float (R, h, w).
        mask: Bool (R, H, W).
        same_size: Whether the heatmap must be in pixels of the mask.

    Raises:
        ValueError: If shapes or types do not fit.
    """
    if mask.dtype != torch.bool or mask.ndim != 3:
        raise ValueError(f"Expected `mask` to be bool of shape (R, H, W) but got {mask.dtype} {tuple(mask.shape)}.")
    if heatmap.ndim != 3 or len(heatmap) != len(mask) or (same_size and heatmap.shape != mask.shape):
        expected = f"{tuple(mask.shape)}" if same_size else f"({len(mask)}, h, w)"
        raise ValueError(f"Expected `heatmap` of shape {expected} but got {tuple(heatmap.shape)}.")


class RoiMetric(Metric):  # type: ignore[misc]
    """Mean of a score over ROI pairs; undefined ones are left out and counted, never scored 0 or 1."""

    full_state_update = False
    total: Tensor
    num_roi: Tensor
    num_undefined: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", torch.tensor(0.0, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("num_roi", torch.tensor(0), dist_reduce_fx="sum")
        self.add_state("num_undefined", torch.tensor(0), dist_reduce_fx="sum")

    @abstractmethod
    def score(self, heatmap: Tensor, mask: Tensor) -> Tensor:
        """Return the score (R,) of each ROI pair, NaN where undefined."""

    def update(self, heatmap: Tensor, mask: Tensor) -> None:
        """Add R ROI pairs.

        Args:
            heatmap: Float (R, h, w) on the patch grid, values >= 0.
            mask: Bool (R, H, W).
        """
        score = self.score(heatmap, mask)
        self.total += score.double().nansum()
        self.num_roi += len(score)
        self.num_undefined += score.isnan().sum()

    def compute(self) -> Tensor:
        """Return the mean over the defined scores, NaN if there is none."""
        return (self.total / (self.num_roi - self.num_undefined)).float()
