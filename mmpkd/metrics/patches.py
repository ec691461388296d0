"""Which pixels belong to which patch."""

import math

import torch
from torch import Tensor


def patch_of_pixel(size: tuple[int, int], grid: tuple[int, int], device: torch.device) -> Tensor:
    """Return the index of the patch that each pixel lies in, in row-major order.

    Args:
        size: Height and width in pixels.
        grid: Number of patches (h, w); pixel row y lies in patch row y * h // H.
        device: Device of the result.

    Returns:
        Int64 (H*W,).

    Example:
        >>> import torch
        >>> patch_of_pixel((2, 4), (1, 2), torch.device("cpu"))
        tensor([0, 0, 1, 1, 0, 0, 1, 1])
    """
    row = torch.arange(size[0], device=device) * grid[0] // size[0]
    column = torch.arange(size[1], device=device) * grid[1] // size[1]
    return (row[:, None] * grid[1] + column).flatten()


def patches_near(mask: Tensor, tolerance: float, grid: tuple[int, int]) -> Tensor:
    """Return which patch centres lie within a distance of an ROI.

    Args:
        mask: Bool (R, H, W).
        tolerance: Distance in pixels, inclusive.
        grid: Number of patches (h, w).

    Returns:
        Bool (R, h, w).

    Example:
        >>> import torch
        >>> mask = torch.tensor([[[False, True, False, False]]])
        >>> patches_near(mask, 2, (1, 2))  # the centres are pixels 1 and 3
        tensor([[[True, True]]])
    """
    height, width = mask.shape[1:]
    y = _centers(grid[0], height, mask.device)
    x = _centers(grid[1], width, mask.device)
    if tolerance == 0:
        return mask[:, y[:, None], x]
    # a disc that is larger than the frame finds nothing more, and takes memory
    tolerance = min(tolerance, math.hypot(height, width))
    # a disc around each centre as D rows of pixels: the offset of each row from the centre, and its half-width
    offset = torch.arange(-int(tolerance), int(tolerance) + 1)
    reach = (tolerance**2 - offset.double().square()).sqrt().floor().long().to(mask.device)
    row = y[:, None] + offset.to(mask.device)  # (h, D)
    left = (x - reach[:, None]).clamp(0, width)  # (D, w)
    right = (x + reach[:, None] + 1).clamp(0, width)
    # the difference of two running sums along a row is the number of ROI pixels between left and right
    running = torch.nn.functional.pad(mask.cumsum(2, dtype=torch.int32), (1, 0))  # (R, H, W + 1)
    in_row = running[:, row.clamp(0, height - 1)]  # (R, h, D, W + 1)
    index = torch.stack((left, right)).expand(len(mask), grid[0], 2, *left.shape).transpose(2, 3)  # (R, h, D, 2, w)
    low, high = in_row.unsqueeze(3).expand(-1, -1, -1, 2, -1).gather(4, index).unbind(3)
    is_in_frame = ((row >= 0) & (row < height))[None, :, :, None]
    return ((high > low) & is_in_frame).any(2)


def _centers(num_patches: int, num_pixels: int, device: torch.device) -> Tensor:
    """Return the pixels at the centres of patches along one side, int64 (num_patches,)."""
    return ((torch.arange(num_patches, dtype=torch.float32, device=device) + 0.5) * num_pixels / num_patches).long()
