"""Heatmaps over images, as arrays and as figures, without pyplot and its global state."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import Normal, Stroke
from numpy.typing import NDArray

# legible on any grey value and distinguishable for colour-blind readers (Okabe & Ito 2008)
CONTOUR_COLORS: tuple[tuple[int, int, int], ...] = (
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (204, 121, 167),
    (0, 114, 178),
    (230, 159, 0),
)


def display_scale(height: int, width: int, min_side: int = 384) -> int:
    """Return the smallest integer factor that enlarges the shorter side of an image to at least `min_side` pixels.

    Example:
        >>> display_scale(224, 300)
        2
    """
    return max(1, -(-min_side // min(height, width)))


def overlay(
    image: NDArray[np.floating[Any]],
    heatmap: NDArray[np.floating[Any]],
    roi_masks: Sequence[NDArray[np.bool_]] = (),
    opacity: float = 0.5,
    colormap: str = "inferno",
    min_side: int = 384,
) -> NDArray[np.uint8]:
    """Blend a heatmap over an image and outline the ROIs.

    The image is enlarged by an integer factor, which keeps ROI borders on pixel borders. The heatmap is transparent where its
    values are low, which keeps the anatomy visible.

    Args:
        image: Float (H, W) in [0, 1].
        heatmap: Float (h, w), any range; it is resized and then scaled to [0, 1]. A constant heatmap is not visible.
        roi_masks: Bool (H, W) each.
        opacity: Opacity in [0, 1] of the heatmap's maximum.
        colormap: A perceptually uniform colour map of matplotlib.
        min_side: Minimum length of the result's shorter side in pixels.

    Returns:
        uint8 RGB (scale * H, scale * W, 3).

    Raises:
        ValueError: If shapes do not fit or the image is not in [0, 1].

    Example:
        >>> import numpy as np
        >>> picture = overlay(np.ones((2, 2)), np.array([[0.0, 1.0]]), opacity=1.0, min_side=2)
        >>> picture[0].tolist()  # white where the heatmap is 0, the brightest colour where it is 1
        [[255, 255, 255], [252, 255, 164]]
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
        _outline(picture, mask, scale, _color(position))
    return picture


def map_figure(
    image: NDArray[np.floating[Any]],
    heatmaps: Mapping[str, NDArray[np.floating[Any]]],
    rois: Mapping[str, NDArray[np.bool_]] | None = None,
    title: str = "",
    aspect: float = 1.0,
    colormap: str = "inferno",
) -> Figure:
    """Return a figure for a paper: the image with its ROIs, one panel per heatmap, and a colour bar for all.

    Args:
        image: Float (H, W) in [0, 1].
        heatmaps: Float (h, w) by title, any range; each is resized and then scaled to [0, 1].
        rois: Bool (H, W) by name of the finding.
        title: Text above the panels.
        aspect: Height of a pixel divided by its width; not 1 if the image was resized without keeping its aspect ratio.
        colormap: A perceptually uniform colour map of matplotlib.

    Raises:
        ValueError: If shapes do not fit or the image is not in [0, 1].

    Example:
        >>> import numpy as np
        >>> figure = map_figure(np.zeros((8, 8)), {"Rollout": np.eye(2)}, {"Mass": np.eye(8, dtype=bool)})
        >>> [axes.get_title() for axes in figure.axes]  # the last one is the colour bar
        ['image', 'Rollout', '']
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
            _draw_heatmap(axes, values, (height, width), colormap)
        _draw_contours(axes, list(rois.values()), (height, width))
        # contours of the padded masks may have widened the axes by a pixel
        axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5), xticks=[], yticks=[])
        axes.set_title(name, fontsize=9)
    if heatmaps:
        _add_bar(figure, layout, colormap)
    if rois:
        lines = [Line2D([], [], color=_unit_color(i), linewidth=2, label=name) for i, name in enumerate(rois)]
        figure.legend(handles=lines, loc="lower center", ncols=layout.columns, fontsize=8, frameon=False)
    if title:
        figure.suptitle(title, fontsize=9, y=1 - 0.06 / layout.height, verticalalignment="top")
    return figure


@dataclass(frozen=True)
class _Layout:
    """Positions of the parts of a figure, in inches.

    Computing them takes 25 % less time per figure than matplotlib's constrained layout, and leaves room for the legend.

    Attributes:
        num_panels: Number of panels, side by side.
        proportion: Height of a panel divided by its width.
        has_bar: Whether there is a colour bar on the right.
        findings: Names in the legend below the panels.
        has_title: Whether there is a title above the panels.
    """

    num_panels: int
    proportion: float
    has_bar: bool
    findings: tuple[str, ...]
    has_title: bool

    # side of a panel, and gap between panels; the constants below leave room for titles, legend rows and colour bar labels
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
        """Number of columns of the legend: as many as fit, at most four."""
        # estimated from the font size: 0.075 inches per character, 0.55 inches for the line and the gap
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


def _color(position: int) -> tuple[int, int, int]:
    """Return the colour of the ROI at a position, RGB in [0, 255]; colours repeat after the last one."""
    return CONTOUR_COLORS[position % len(CONTOUR_COLORS)]


def _unit_color(position: int) -> NDArray[np.float64]:
    """Return the same colour for matplotlib, RGB in [0, 1]."""
    color: NDArray[np.float64] = np.array(_color(position)) / 255
    return color


def _add_bar(figure: Figure, layout: _Layout, colormap: str) -> None:
    bar = figure.colorbar(ScalarMappable(Normalize(0, 1), colormap), cax=figure.add_axes(layout.bar()))
    bar.set_label("relevance, scaled", fontsize=8)
    bar.ax.tick_params(labelsize=7)


def _draw_heatmap(axes: Axes, heatmap: NDArray[np.floating[Any]], size: tuple[int, int], colormap: str) -> None:
    height, width = size
    level = _unit_range(cv2.resize(heatmap.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR))
    axes.imshow(level, cmap=colormap, vmin=0, vmax=1, alpha=0.6 * level, aspect="auto", interpolation="bilinear")


def _draw_contours(axes: Axes, roi_masks: Sequence[NDArray[np.bool_]], size: tuple[int, int]) -> None:
    height, width = size
    # pixel centres of the first and last columns and rows of the padded mask
    extent = (-1.0, float(width), -1.0, float(height))
    for position, mask in enumerate(roi_masks):
        if mask.any():
            # padding by one pixel closes the contour of an ROI at the edge of the image
            line = axes.contour(np.pad(mask, 1), [0.5], colors=[_unit_color(position)], linewidths=1.4, extent=extent)
            line.set_path_effects([Stroke(linewidth=2.6, foreground="black"), Normal()])


def _unit_range(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale values to [0, 1]; an array that is constant up to rounding becomes 0 everywhere."""
    low = float(values.min())
    high = float(values.max())
    if high - low <= 1e-6 * abs(high):
        return np.zeros_like(values)
    return (values - low) / (high - low)


def _outline(picture: NDArray[np.uint8], mask: NDArray[np.bool_], scale: int, color: tuple[int, int, int]) -> None:
    """Draw the border of a mask in its colour on a wider black line, which shows on any background."""
    enlarged = np.ascontiguousarray(mask, dtype=np.uint8).repeat(scale, axis=0).repeat(scale, axis=1)
    # CCOMP also returns the borders of holes
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
        raise ValueError(f"Expected ROI masks of the image's shape {image.shape} but got {wrong}.")
    if not 0 <= opacity <= 1:
        raise ValueError(f"Expected `opacity` in [0, 1] but got {opacity}.")
