"""The best IoU that a map on the patch grid can reach."""

import torch
from torch import Tensor

from mmpkd.metrics.patches import patch_of_pixel


def patch_ceiling(mask: Tensor, grid: tuple[int, int]) -> Tensor:
    """Return the highest IoU with each ROI that any set of whole patches can reach.

    The best set consists of all patches that the ROI covers to more than some share. One pass over the sorted shares finds it.

    Args:
        mask: Bool (R, H, W).
        grid: Number of patches (h, w); pixel row y lies in patch row y * h // H.

    Returns:
        Float32 (R,) in (0, 1]; NaN for an empty ROI.

    Raises:
        ValueError: If the mask is not bool (R, H, W).

    Example:
        >>> import torch
        >>> patch_ceiling(torch.tensor([[[True, True, True, False]]]), (1, 2))  # 2/3 with one patch, 3/4 with both
        tensor([0.7500])
    """
    if mask.dtype != torch.bool or mask.ndim != 3:
        raise ValueError(f"Expected `mask` to be bool of shape (R, H, W) but got {mask.dtype} {tuple(mask.shape)}.")
    patch = patch_of_pixel((int(mask.shape[1]), int(mask.shape[2])), grid, mask.device)  # (H*W,)
    # not `bincount`: its output size depends on the values, which would wait for the device
    num_pixels = torch.zeros(grid[0] * grid[1], dtype=torch.int64, device=mask.device)  # (h*w,)
    num_pixels.index_add_(0, patch, torch.ones_like(patch))
    num_covered = torch.zeros(len(mask), len(num_pixels), dtype=torch.int64, device=mask.device)  # (R, h*w)
    num_covered.index_add_(1, patch, mask.flatten(1).long())
    order = (num_covered.float() / num_pixels).argsort(dim=1, descending=True)
    # column i is the union of the i + 1 best patches
    intersection = num_covered.gather(1, order).cumsum(1)  # (R, h*w)
    selected = num_pixels.expand_as(num_covered).gather(1, order).cumsum(1)
    roi = num_covered.sum(1, keepdim=True)  # (R, 1)
    best = (intersection.float() / (selected + roi - intersection)).amax(1)
    return best.masked_fill(roi[:, 0] == 0, torch.nan)
