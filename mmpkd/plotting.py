"""Figures of heatmaps over images, as arrays; no plotting state is touched."""

from collections.abc import Sequence
from typing import Any

import cv2
import matplotlib
import numpy as np
from numpy.typing import NDArray

# legible on any grey value and under each other, also for colour-blind readers (Okabe & Ito 2008)
CONTOUR_COLORS: tuple[tuple[int, int, int], ...] = (
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (204, 121, 167),
    (0, 114, 178),
    (230, 159, 0),
)


def display_scale(height: int, width: int, min_side: int = 384) -> int:
    """Return the whole number by which an image is enlarged so that its shorter side has at least `min_side` pixels."""
    return max(1, -(-min_side // min(height, width)))


def overlay(
    image: NDArray[np.floating[Any]],
    heatmap: NDArray[np.floating[Any]],
    roi_masks: Sequence[NDArray[np.bool_]] = (),
    opacity: float = 0.5,
    colormap: str = "inferno",
    min_side: int = 384,
) -> NDArray[np.uint8]:
    """Lay a heatmap over an image and outline the ROIs.

    The image is enlarged by a whole number, so that ROI borders stay on pixel borders. The heatmap is transparent where
    it is low: the anatomy stays visible.

    Args:
        image: Float (H, W) in [0, 1].
        heatmap: Float (h, w), any range; scaled to [0, 1] after it is resized. A constant one shows nothing.
        roi_masks: Bool (H, W) each.
        opacity: Opacity in [0, 1] of the heatmap's maximum.
        colormap: A perceptually uniform colour map of matplotlib.
        min_side: Pixels of the result's shorter side, at least.

    Returns:
        uint8 RGB (scale * H, scale * W, 3).

    Raises:
        ValueError: If shapes do not fit or the image is not in [0, 1].
    """
    _check(image, heatmap, roi_masks, opacity)
    height, width = image.shape
    scale = display_scale(height, width, min_side)
    size = (width * scale, height * scale)
    grey = cv2.resize(image.astype(np.float32), size, interpolation=cv2.INTER_LINEAR)[..., None]
    level = _unit_range(cv2.resize(heatmap.astype(np.float32), size, interpolation=cv2.INTER_LINEAR))
    color = matplotlib.colormaps[colormap](level)[..., :3]
    alpha = opacity * level[..., None]
    picture: NDArray[np.uint8] = np.round(255 * np.clip(grey * (1 - alpha) + color * alpha, 0, 1)).astype(np.uint8)
    for position, mask in enumerate(roi_masks):
        _outline(picture, mask, scale, CONTOUR_COLORS[position % len(CONTOUR_COLORS)])
    return picture


def _unit_range(values: NDArray[np.float32]) -> NDArray[np.float32]:
    low, high = float(values.min()), float(values.max())
    if high - low <= 1e-6 * abs(high):
        return np.zeros_like(values)
    return (values - low) / (high - low)


def _outline(picture: NDArray[np.uint8], mask: NDArray[np.bool_], scale: int, color: tuple[int, int, int]) -> None:
    """Draw the border of a mask, bright on dark, so that it shows on any background."""
    enlarged = np.ascontiguousarray(mask, dtype=np.uint8).repeat(scale, axis=0).repeat(scale, axis=1)
    contours, _ = cv2.findContours(enlarged, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(picture, contours, -1, (0, 0, 0), 4)
    cv2.drawContours(picture, contours, -1, color, 2)


def _check(
    image: NDArray[np.floating[Any]],
    heatmap: NDArray[np.floating[Any]],
    roi_masks: Sequence[NDArray[np.bool_]],
    opacity: float,
) -> None:
    if image.ndim != 2 or heatmap.ndim != 2:
        raise ValueError(f"Expected `image` (H, W) and `heatmap` (h, w) but got {image.shape} and {heatmap.shape}.")
    if image.min() < 0 or image.max() > 1:
        raise ValueError(f"Expected `image` in [0, 1] but got [{image.min():.3g}, {image.max():.3g}].")
    wrong = [mask.shape for mask in roi_masks if mask.shape != image.shape]
    if wrong:
        raise ValueError(f"Expected ROI masks of shape {image.shape}, as the image, but got {wrong}.")
    if not 0 <= opacity <= 1:
        raise ValueError(f"Expected `opacity` in [0, 1] but got {opacity}.")
