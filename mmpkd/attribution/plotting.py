"""Heatmaps over images, as arrays and as figures; no plotting state is touched."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import matplotlib
import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import Normal, Stroke
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


def map_figure(
    image: NDArray[np.floating[Any]],
    heatmaps: Mapping[str, NDArray[np.floating[Any]]],
    rois: Mapping[str, NDArray[np.bool_]] | None = None,
    title: str = "",
    aspect: float = 1.0,
    colormap: str = "inferno",
) -> Figure:
    """Return a figure for a paper: the image with its ROIs, beside one panel a heatmap, with one colour bar.

    Args:
        image: Float (H, W) in [0, 1].
        heatmaps: Float (h, w) by title, any range; each is scaled to [0, 1] after it is resized.
        rois: Bool (H, W) by name of the finding.
        title: Text above the panels.
        aspect: Height of a pixel in units of its width, where the image was squeezed into its frame.
        colormap: A perceptually uniform colour map of matplotlib.

    Raises:
        ValueError: If shapes do not fit or the image is not in [0, 1].
    """
    rois = rois or {}
    for heatmap in heatmaps.values():
        _check(image, heatmap, list(rois.values()), 0.5)
    height, width = image.shape
    layout = _Layout(1 + len(heatmaps), aspect * height / width, bool(heatmaps), tuple(rois), bool(title))
    figure = Figure(figsize=(layout.width, layout.height))
    for column, (name, values) in enumerate([("image", None), *heatmaps.items()]):
        axes = figure.add_axes(layout.panel(column))
        axes.imshow(image, cmap="gray", vmin=0, vmax=1, aspect="auto", interpolation="bilinear")
        if values is not None:
            level = _unit_range(cv2.resize(values.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR))
            axes.imshow(
                level, cmap=colormap, vmin=0, vmax=1, alpha=0.6 * level, aspect="auto", interpolation="bilinear"
            )
        for position, mask in enumerate(rois.values()):
            color = np.array(CONTOUR_COLORS[position % len(CONTOUR_COLORS)]) / 255
            if mask.any():
                line = axes.contour(
                    np.pad(mask, 1), [0.5], colors=[color], linewidths=1.4, extent=_padded(height, width)
                )
                line.set_path_effects([Stroke(linewidth=2.6, foreground="black"), Normal()])
        axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5), xticks=[], yticks=[])
        axes.set_title(name, fontsize=9)
    if heatmaps:
        bar = figure.colorbar(ScalarMappable(Normalize(0, 1), colormap), cax=figure.add_axes(layout.bar()))
        bar.set_label("relevance, scaled", fontsize=8)
        bar.ax.tick_params(labelsize=7)
    if rois:
        handles = [
            Line2D([], [], color=np.array(CONTOUR_COLORS[i % len(CONTOUR_COLORS)]) / 255, linewidth=2, label=name)
            for i, name in enumerate(rois)
        ]
        figure.legend(handles=handles, loc="lower center", ncols=layout.columns, fontsize=8, frameon=False)
    if title:
        figure.suptitle(title, fontsize=9, y=1 - 0.06 / layout.height, verticalalignment="top")
    return figure


@dataclass(frozen=True)
class _Layout:
    """Where things are in a figure of maps, in inches.

    Computed rather than left to matplotlib's constrained layout: a figure takes a quarter less time, and legends fit.

    Attributes:
        num_panels: Panels in a row.
        proportion: Height of a panel in units of its width.
        has_bar: Whether there is a colour bar on the right.
        findings: Names in the legend below.
        has_title: Whether there is a title above.
    """

    num_panels: int
    proportion: float
    has_bar: bool
    findings: tuple[str, ...]
    has_title: bool

    side = 2.4
    gap = 0.08

    @property
    def width(self) -> float:
        """Width of the figure."""
        return self.gap + self.num_panels * (self.side + self.gap) + (0.62 if self.has_bar else 0)

    @property
    def height(self) -> float:
        """Height of the figure."""
        return self._bottom + self.side * self.proportion + 0.26 + (0.22 if self.has_title else 0)

    @property
    def _bottom(self) -> float:
        return self.gap + (0.04 + 0.2 * math.ceil(len(self.findings) / self.columns) if self.findings else 0)

    @property
    def columns(self) -> int:
        """Columns of the legend: as many as fit beside each other."""
        longest = max((len(name) for name in self.findings), default=0)
        return min(4, max(1, int(self.width / (0.55 + 0.075 * longest))))

    def panel(self, column: int) -> tuple[float, float, float, float]:
        """Return left, bottom, width and height of a panel, as fractions of the figure."""
        return self._fractions(self.gap + column * (self.side + self.gap), self.side)

    def bar(self) -> tuple[float, float, float, float]:
        """Return left, bottom, width and height of the colour bar, as fractions of the figure."""
        return self._fractions(self.gap + self.num_panels * (self.side + self.gap), 0.1)

    def _fractions(self, left: float, width: float) -> tuple[float, float, float, float]:
        height = self.side * self.proportion
        return left / self.width, self._bottom / self.height, width / self.width, height / self.height


def _padded(height: int, width: int) -> tuple[float, float, float, float]:
    """Return left, right, first and last row of the pixel centres of a mask with a border of one pixel."""
    return (-1.0, float(width), -1.0, float(height))


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
