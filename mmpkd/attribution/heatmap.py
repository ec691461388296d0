"""Interpolation of heatmaps from the patch grid to pixels, and scaling to [0, 1]."""

import torch
from torch import Tensor

# interpolating a constant map leaves rounding errors, which must not be stretched to [0, 1]
_RELATIVE_RANGE = 1e-6


def upsample(heatmap: Tensor, size: tuple[int, int]) -> Tensor:
    """Interpolate heatmaps bilinearly, with aligned pixel centres (`align_corners=False`).

    Pixels between patches of equal value get exactly that value, so rounding breaks no ties.

    Args:
        heatmap: Float (B, h, w).
        size: Height and width in pixels.

    Returns:
        Float32 (B, *size).

    Raises:
        ValueError: If the heatmap does not have three dimensions, or there is no patch or no pixel.

    Example:
        >>> import torch
        >>> upsample(torch.tensor([[[0.0, 1.0]]]), (1, 4))
        tensor([[[0.0000, 0.2500, 0.7500, 1.0000]]])
    """
    if heatmap.ndim != 3 or 0 in heatmap.shape[1:] or min(size) < 1:
        raise ValueError(
            f"Expected `heatmap` of shape (B, h, w), with at least one patch and one pixel, but got {tuple(heatmap.shape)} and "
            f"{size[0]} x {size[1]} pixels."
        )
    # halving and doubling are exact, and prevent an overflow in the difference of two large values
    return _stretch(_stretch(heatmap.float() / 2, 1, size[0]), 2, size[1]).mul_(2)


def _stretch(values: Tensor, dim: int, pixels: int) -> Tensor:
    """Interpolate linearly along one dimension, from patches to pixels."""
    patches = values.shape[dim]
    center = torch.arange(pixels, dtype=torch.float32, device=values.device) + 0.5
    # pixel centres in units of patches, measured from the centre of the first patch
    place = (center * (patches / pixels) - 0.5).clamp(0, patches - 1)  # (pixels,)
    before = place.long()
    weight = (place - before).reshape(-1, *[1] * (values.ndim - 1 - dim))
    after = (before + 1).clamp(max=patches - 1)
    # not (1 - weight) * low + weight * high: if low and high are equal, its rounding differs from pixel to pixel
    return torch.lerp(values.index_select(dim, before), values.index_select(dim, after), weight)


def is_constant(heatmap: Tensor) -> Tensor:
    """Return which heatmaps have the same value everywhere, up to rounding.

    Args:
        heatmap: Float (B, h, w).

    Returns:
        Bool (B,).

    Example:
        >>> import torch
        >>> is_constant(torch.tensor([[[3.0, 3.0]], [[3.0, 4.0]]]))
        tensor([ True, False])
    """
    return _is_constant(*_extremes(heatmap))


def min_max(heatmap: Tensor) -> Tensor:
    """Scale each heatmap linearly to [0, 1]; a constant one becomes 0 everywhere.

    Args:
        heatmap: Float (B, H, W).

    Returns:
        Float (B, H, W) in [0, 1].

    Example:
        >>> import torch
        >>> min_max(torch.tensor([[[2.0, 3.0, 6.0]]]))
        tensor([[[0.0000, 0.2500, 1.0000]]])
    """
    return scale_and_constant(heatmap)[0]


def scale_and_constant(heatmap: Tensor) -> tuple[Tensor, Tensor]:
    """Return heatmaps scaled as by `min_max`, float (B, H, W), and which are constant, bool (B,)."""
    low, high = _extremes(heatmap)
    constant = _is_constant(low, high)
    # half of the range, since the range itself may overflow; infinite for a constant map, whose values all become 0
    spread = (high / 2 - low / 2).masked_fill(constant, torch.inf)
    return (heatmap / 2).sub_(low[:, None, None] / 2).div_(spread[:, None, None]), constant


def _extremes(heatmap: Tensor) -> tuple[Tensor, Tensor]:
    flat = heatmap.flatten(1)
    return flat.amin(1), flat.amax(1)


def _is_constant(low: Tensor, high: Tensor) -> Tensor:
    # `<=`, because both sides are 0 for a map of zeros
    return high / 2 - low / 2 <= _RELATIVE_RANGE * (high / 2).abs()


def resize_heatmap(heatmap: Tensor, size: tuple[int, int]) -> Tensor:
    """Interpolate heatmaps and scale them to [0, 1].

    Scaling comes last, because interpolation lowers the peak of a single patch. Heatmaps are also scaled before, which keeps
    rounding errors small relative to the range even for a heatmap with a large offset.

    Args:
        heatmap: Float (B, h, w), any range.
        size: Height and width in pixels.

    Returns:
        Float32 (B, *size) in [0, 1]; a constant heatmap becomes 0 everywhere.

    Example:
        >>> import torch
        >>> resize_heatmap(torch.tensor([[[10.0, 12.0]]]), (1, 4))
        tensor([[[0.0000, 0.2500, 0.7500, 1.0000]]])
    """
    return min_max(upsample(min_max(heatmap.float()), size))
