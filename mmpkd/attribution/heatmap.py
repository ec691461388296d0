"""From the patch grid to pixels."""

import torch
from torch import Tensor

# Interpolating a constant map leaves rounding noise, which must not be stretched to [0, 1].
_RELATIVE_RANGE = 1e-6


def upsample(heatmap: Tensor, size: tuple[int, int]) -> Tensor:
    """Interpolate heatmaps bilinearly, with pixel centres aligned (`align_corners=False`).

    Between patches of equal value, pixels have exactly that value, so that no tie is split by rounding.

    Args:
        heatmap: Float (B, h, w).
        size: Height and width in pixels.

    Returns:
        Float32 (B, *size).

    Raises:
        ValueError: If the heatmap has not three dimensions.
    """
    if heatmap.ndim != 3:
        raise ValueError(f"Expected `heatmap` of shape (B, h, w) but got {tuple(heatmap.shape)}.")
    # half of them meanwhile: the difference of two finite values may be infinite
    return _stretch(_stretch(heatmap.float() / 2, 1, size[0]), 2, size[1]).mul_(2)


def _stretch(values: Tensor, dim: int, pixels: int) -> Tensor:
    """Interpolate linearly along one dimension, to a number of pixels."""
    patches = values.shape[dim]
    place = ((torch.arange(pixels, dtype=torch.float32, device=values.device) + 0.5) * (patches / pixels) - 0.5).clamp(
        0, patches - 1
    )
    before = place.long()
    weight = (place - before).reshape(-1, *[1] * (values.ndim - 1 - dim))
    after = (before + 1).clamp(max=patches - 1)
    # not (1 - weight) low + weight high, whose rounding differs from pixel to pixel where low and high are equal
    return torch.lerp(values.index_select(dim, before), values.index_select(dim, after), weight)


def is_constant(heatmap: Tensor) -> Tensor:
    """Return, as bool (B,), which heatmaps (B, h, w) have one value everywhere, up to rounding."""
    return _is_constant(*_extremes(heatmap))


def min_max(heatmap: Tensor) -> Tensor:
    """Scale each heatmap (B, H, W) linearly to [0, 1]; a constant one becomes 0 everywhere."""
    return scale_and_constant(heatmap)[0]


def scale_and_constant(heatmap: Tensor) -> tuple[Tensor, Tensor]:
    """Return heatmaps scaled as by `min_max`, float (B, H, W), and which are constant, bool (B,)."""
    low, high = _extremes(heatmap)
    constant = _is_constant(low, high)
    # half of it, since the range of finite values may be infinite; divided by infinity, the rounding noise of a constant map is 0
    spread = (high / 2 - low / 2).masked_fill(constant, torch.inf)
    return (heatmap / 2).sub_(low[:, None, None] / 2).div_(spread[:, None, None]), constant


def _extremes(heatmap: Tensor) -> tuple[Tensor, Tensor]:
    flat = heatmap.flatten(1)
    return flat.amin(1), flat.amax(1)


def _is_constant(low: Tensor, high: Tensor) -> Tensor:
    return high / 2 - low / 2 <= _RELATIVE_RANGE * (high / 2).abs()


def resize_heatmap(heatmap: Tensor, size: tuple[int, int]) -> Tensor:
    """Interpolate heatmaps and scale them to [0, 1], for good afterwards, since interpolation lowers the peak of a single patch.

    They are scaled before it, too, so that rounding is small beside their range, whatever their offset.

    Args:
        heatmap: Float (B, h, w), any range.
        size: Height and width in pixels.

    Returns:
        Float32 (B, *size) in [0, 1]; a constant heatmap becomes 0 everywhere.
    """
    return min_max(upsample(min_max(heatmap.float()), size))
