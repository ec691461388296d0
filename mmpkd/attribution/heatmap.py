"""From the patch grid to pixels."""

import torch
from torch import Tensor
from torch.nn import functional as F

# Interpolating a constant map leaves rounding noise, which must not be stretched to [0, 1].
_RELATIVE_RANGE = 1e-6


def upsample(heatmap: Tensor, size: tuple[int, int]) -> Tensor:
    """Interpolate heatmaps bilinearly, with pixel centres aligned (`align_corners=False`).

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
    return F.interpolate(heatmap.float().unsqueeze(1), size, mode="bilinear", align_corners=False).squeeze(1)


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
    # divided by infinity, the rounding noise of a constant map is 0
    spread = (high - low).masked_fill(constant, torch.inf)
    return (heatmap - low[:, None, None]).div_(spread[:, None, None]), constant


def _extremes(heatmap: Tensor) -> tuple[Tensor, Tensor]:
    flat = heatmap.flatten(1)
    return flat.amin(1), flat.amax(1)


def _is_constant(low: Tensor, high: Tensor) -> Tensor:
    return high - low <= _RELATIVE_RANGE * high.abs()


def resize_heatmap(heatmap: Tensor, size: tuple[int, int]) -> Tensor:
    """Interpolate heatmaps and scale them to [0, 1] afterwards, since interpolation lowers the peak of a single patch.

    Args:
        heatmap: Float (B, h, w), any range.
        size: Height and width in pixels.

    Returns:
        Float32 (B, *size) in [0, 1]; a constant heatmap becomes 0 everywhere.
    """
    return min_max(upsample(heatmap, size))
