"""Pointing game."""

import torch
from torch import Tensor

from mmpkd.metrics.roi import RoiMetric, check_roi


def pointing_game(heatmap: Tensor, mask: Tensor, tolerance: float = 0.0) -> Tensor:
    """Score 1 if the maximum of the heatmap lies in the ROI, else 0 (Zhang et al. 2018, section 4.2,
    https://arxiv.org/abs/1608.00507).

    The point is the centre of the patch with the maximum: on an interpolated map almost half of all maxima tie. If
    patches tie, the score is the share of them that hit, the expectation of a random choice.

    Args:
        heatmap: Float (R, h, w) on the patch grid.
        mask: Bool (R, H, W); the height and width are those of the whole grid.
        tolerance: Distance in pixels, inclusive, at which a point still hits.

    Returns:
        Float32 (R,) in [0, 1]; NaN for an empty ROI.

    Raises:
        ValueError: If shapes or types do not fit or the tolerance is negative.
    """  # noqa: D205
    check_roi(heatmap, mask, same_size=False)
    if tolerance < 0:
        raise ValueError(f"Expected `tolerance` >= 0 pixels but got {tolerance}.")
    tied = heatmap == heatmap.amax((1, 2), keepdim=True)
    hits = tied & _patches_near(mask, tolerance, (int(heatmap.shape[1]), int(heatmap.shape[2])))
    score = hits.sum((1, 2)).float() / tied.sum((1, 2))
    return score.masked_fill(~mask.any(2).any(1), torch.nan)


def _patches_near(mask: Tensor, tolerance: float, grid: tuple[int, int]) -> Tensor:
    """Return, as bool (R, h, w), which patch centres have a pixel of the ROI within the tolerance.

    In each row of pixels that a disc of that radius touches, one difference of running sums counts the ROI's pixels.
    """
    height, width = mask.shape[1:]
    y, x = (
        ((torch.arange(n, device=mask.device) + 0.5) * pixels / n).long()
        for n, pixels in zip(grid, (height, width), strict=True)
    )
    offset = torch.arange(-int(tolerance), int(tolerance) + 1, device=mask.device)
    reach = (tolerance**2 - offset.double().square()).sqrt().floor().long()
    row = y[:, None] + offset
    left = (x - reach[:, None]).clamp(0, width)
    right = (x + reach[:, None] + 1).clamp(0, width)
    running = torch.nn.functional.pad(mask.cumsum(2, dtype=torch.int32), (1, 0))
    in_row = running[:, row.clamp(0, height - 1)]  # (R, h, rows of the disc, W + 1)
    index = torch.stack((left, right)).expand(len(mask), grid[0], 2, *left.shape).transpose(2, 3)
    low, high = in_row.unsqueeze(3).expand(-1, -1, -1, 2, -1).gather(4, index).unbind(3)
    inside = ((row >= 0) & (row < height))[None, :, :, None]
    return ((high > low) & inside).any(2)


class PointingGame(RoiMetric):
    """Mean pointing game over ROI pairs; see `pointing_game`.

    Args:
        tolerance: Distance in pixels, inclusive, at which a point still hits.
    """

    def __init__(self, tolerance: float = 0.0) -> None:
        super().__init__()
        self.tolerance = tolerance

    def score(self, heatmap: Tensor, mask: Tensor) -> Tensor:
        """Return the score (R,) of heatmaps (R, h, w) on the patch grid."""
        return pointing_game(heatmap, mask, self.tolerance)
