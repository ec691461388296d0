"""Pointing game."""

import math
from typing import Literal

from torch import Tensor

from mmpkd.metrics.pairs import HeatmapPairs, one_to_one
from mmpkd.metrics.roi_metric import RoiMetric

Unit = Literal["pixels", "fraction"]


def pointing_game(heatmap: Tensor, mask: Tensor, tolerance: float = 0.0, unit: Unit = "pixels") -> Tensor:
    """Return 1 if the maximum of the heatmap lies in the ROI (a hit), and 0 otherwise.

    The maximum is taken at the centre of a patch, because almost half of all maxima tie on an interpolated map. If patches tie,
    the score is the share of them that hit, which is the expected value of a random choice.

    Source: Zhang et al. 2018, section 4.2, https://arxiv.org/abs/1608.00507.

    Args:
        heatmap: Float (R, h, w) on the patch grid.
        mask: Bool (R, H, W) of the area that the grid covers.
        tolerance: Largest distance from the ROI that still counts as a hit.
        unit: Unit of the tolerance: `pixels`, or `fraction` of the shorter side, which does not depend on the resolution.

    Returns:
        Float32 (R,) in [0, 1]; NaN for an empty ROI.

    Raises:
        ValueError: If shapes or types do not fit or the tolerance is negative or not finite.

    Example:
        >>> import torch
        >>> heatmap = torch.tensor([[[0.1, 0.9]]])  # the centre of the second patch is pixel 3 of 0 to 3
        >>> mask = torch.tensor([[[False, True, False, False]]])
        >>> pointing_game(heatmap, mask)
        tensor([0.])
        >>> pointing_game(heatmap, mask, tolerance=2)
        tensor([1.])
    """
    return PointingGame(tolerance, unit).score(one_to_one(heatmap, mask))


class PointingGame(RoiMetric):
    """Mean pointing game over pairs of heatmap and ROI; see `pointing_game`.

    Args:
        tolerance: Largest distance from the ROI that still counts as a hit.
        unit: Unit of the tolerance: `pixels`, or `fraction` of the shorter side.

    Raises:
        ValueError: If the tolerance is negative or not finite, or the unit is unknown.

    Example:
        >>> import torch
        >>> score = PointingGame(tolerance=2)
        >>> score.update(torch.tensor([[[0.1, 0.9]]]), torch.tensor([[[False, True, False, False]]]))
        >>> score.name, score.compute()
        ('pointing_game_2px', tensor(1.))
    """

    def __init__(self, tolerance: float = 0.0, unit: Unit = "pixels") -> None:
        super().__init__()
        if not 0 <= tolerance < math.inf or unit not in ("pixels", "fraction"):
            raise ValueError(
                f"Expected a finite `tolerance` >= 0 in pixels or as a fraction but got {tolerance} {unit}."
            )
        self.tolerance = tolerance
        self.unit = unit
        suffix = "px" if unit == "pixels" else "side"
        self.name = f"pointing_game_{tolerance:g}{suffix}" if tolerance else "pointing_game"

    def score(self, pairs: HeatmapPairs) -> Tensor:
        """Return the score of each ROI, float32 (R,)."""
        tolerance = self.tolerance * (min(pairs.rois.size) if self.unit == "fraction" else 1)
        grid = (int(pairs.heatmap.shape[1]), int(pairs.heatmap.shape[2]))
        flat = pairs.heatmap.flatten(1)  # (b, h*w)
        tied = pairs.per_roi(flat == flat.amax(1, keepdim=True))  # (R, h*w)
        hits = tied & pairs.rois.hit_patches(grid, tolerance)
        return pairs.nan_where_undefined(hits.sum(1).float() / tied.sum(1))
