"""The best that a map on the patch grid could score."""

import torch
from torch import Tensor


def patch_ceiling(mask: Tensor, grid: tuple[int, int]) -> Tensor:
    """Return the best IoU with each ROI that any set of whole patches could reach.

    The best set is that of all patches which the ROI covers by more than some share, so that one pass over the sorted shares
    finds it.

    Args:
        mask: Bool (R, H, W).
        grid: Patches (rows, columns) of the frame; pixel y lies in patch row y * rows // H.

    Returns:
        Float32 (R,) in (0, 1]; NaN for an empty ROI.
    """
    height, width = (int(n) for n in mask.shape[1:])
    row, column = (
        torch.arange(pixels, device=mask.device) * patches // pixels
        for pixels, patches in zip((height, width), grid, strict=True)
    )
    patch = (row[:, None] * grid[1] + column).flatten()
    # not `bincount`, whose number of bins depends on the values
    size = torch.zeros(grid[0] * grid[1], dtype=torch.int64, device=mask.device)
    size.index_add_(0, patch, torch.ones_like(patch))
    covered = torch.zeros(len(mask), len(size), dtype=torch.int64, device=mask.device)
    covered.index_add_(1, patch, mask.flatten(1).long())
    order = (covered.float() / size).argsort(dim=1, descending=True)
    intersection = covered.gather(1, order).cumsum(1)
    region = size.expand_as(covered).gather(1, order).cumsum(1)
    num = covered.sum(1, keepdim=True)
    best = (intersection.float() / (region + num - intersection)).amax(1)
    return best.masked_fill(num[:, 0] == 0, torch.nan)
