"""Geometry from the frame of an image file to the frame of the network, the same for pixels, points and regions."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, Literal, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

BoxFormat = Literal["xyxy", "xywh", "yxyx", "xyxy_normalised", "xywh_normalised"]
Box = tuple[float, float, float, float]
Size = tuple[int, int]
Resize = Literal["stretch", "pad"]
_T = TypeVar("_T", bound=np.generic)
# a box may reach a little beyond its image, but not by the size of the image
MAX_FRACTION = 2.0


def to_xyxy(box: Sequence[float], box_format: BoxFormat, size: Size | None = None) -> Box:
    """Convert one box to (x0, y0, x1, y1): in pixels and clipped to the image, if its size is known.

    Args:
        box: Four numbers.
        box_format: Their meaning. `yxyx` is [ymin, xmin, ymax, xmax]; `_normalised` are fractions of width and height.
        size: (height, width) of the image that the box refers to; without it, nothing is clipped, and normalised boxes
            stay fractions.

    Returns:
        The half-open box; it may be empty if the annotation lies outside the image.

    Raises:
        ValueError: If there are not four finite numbers, or fractions are so large that they must be pixels.
    """
    if len(box) != 4 or not _is_finite(box):
        raise ValueError(f"Expected a box of 4 finite numbers ({box_format}) but got {len(box)}: {list(box)}.")
    a, b, c, d = (float(value) for value in box)
    if box_format == "yxyx":
        a, b, c, d = b, a, d, c  # to xmin, ymin, xmax, ymax
    elif box_format.startswith("xywh"):
        c = a + c
        d = b + d
    if box_format.endswith("_normalised") and max(map(abs, (a, b, c, d))) > MAX_FRACTION:
        raise ValueError(
            f"Expected a box as fractions of width and height ({box_format}) but got {list(box)}: these are pixels. Set the "
            "box format to what they are."
        )
    if size is None:
        return a, b, c, d
    height, width = size
    if box_format.endswith("_normalised"):
        a = a * width
        b = b * height
        c = c * width
        d = d * height
    return (
        min(max(a, 0.0), width),
        min(max(b, 0.0), height),
        min(max(c, 0.0), width),
        min(max(d, 0.0), height),
    )


def _is_finite(box: Sequence[Any]) -> bool:
    # JSON may hold anything in place of a number
    return all(isinstance(value, Real) and math.isfinite(value) for value in box)


def is_rescaled(first: Size, second: Size) -> bool:
    """Return whether one of two images can be a copy of the other at another scale: neither cropped nor squeezed.

    The longer side sets the scale, and the other side must agree with it within one pixel of the smaller image, however a
    program rounds. Two images with a side in common have the same scale, so if their other sides differ by more than one
    pixel, one is a crop. Sizes alone cannot distinguish a copy from a crop that keeps the proportions.

    Args:
        first: (height, width) in pixels.
        second: (height, width) in pixels, larger or smaller.
    """
    small, large = sorted(
        ((int(first[0]), int(first[1])), (int(second[0]), int(second[1]))), key=lambda size: size[0] * size[1]
    )
    if small[0] == large[0] or small[1] == large[1]:
        return abs(small[0] - large[0]) + abs(small[1] - large[1]) <= 1
    # |width - height * W / H| <= 1, or the same with the sides exchanged, in integers
    return abs(small[0] * large[1] - small[1] * large[0]) <= max(large)


@dataclass(frozen=True)
class Window:
    """A crop of an image, and whether it is mirrored left to right afterwards.

    Attributes:
        rows: First row and one past the last, in pixels.
        columns: First column and one past the last, in pixels.
        flip: Whether left and right are exchanged.
    """

    rows: tuple[float, float]
    columns: tuple[float, float]
    flip: bool = False

    def scaled(self, source: Size, target: Size) -> "Window":
        """Return the same window on a copy of the image at another size."""
        y = target[0] / source[0]
        x = target[1] / source[1]
        return Window((self.rows[0] * y, self.rows[1] * y), (self.columns[0] * x, self.columns[1] * x), self.flip)


def whole(size: Size) -> Window:
    """Return the window that keeps an image of a (height, width) as it is."""
    return Window((0, size[0]), (0, size[1]))


@dataclass(frozen=True)
class Placement:
    """Where an image file lies in the square frame of the network: crop, mirror, resize, pad, in this order.

    Coordinates are continuous: pixel i covers [i, i + 1), so that its centre is at i + 0.5.

    Attributes:
        frame: (height, width) of the image in the file, which annotations refer to.
        window: The part that is kept, in pixels of the frame.
        content: (height, width) of that part after resizing.
        offset: (row, column) of its first pixel in the canvas.
        side: Height and width of the canvas.
    """

    frame: Size
    window: Window
    content: Size
    offset: Size
    side: int

    def to_canvas(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map points from the file to the canvas.

        Args:
            points: (N, 2) as (x, y) in pixels of the frame.

        Returns:
            (N, 2) as (x, y) in pixels of the canvas; points outside the window land outside the content.
        """
        (y0, y1) = self.window.rows
        (x0, x1) = self.window.columns
        # fractions of the window, from 0 to 1
        u = (points[:, 0] - x0) / (x1 - x0)
        v = (points[:, 1] - y0) / (y1 - y0)
        u = 1 - u if self.window.flip else u
        return np.stack([self.offset[1] + u * self.content[1], self.offset[0] + v * self.content[0]], axis=1)

    def to_frame(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map points (N, 2) as (x, y) from the canvas back to the file: the inverse of `to_canvas`."""
        (y0, y1) = self.window.rows
        (x0, x1) = self.window.columns
        u = (points[:, 0] - self.offset[1]) / self.content[1]
        v = (points[:, 1] - self.offset[0]) / self.content[0]
        u = 1 - u if self.window.flip else u
        return np.stack([x0 + u * (x1 - x0), y0 + v * (y1 - y0)], axis=1)

    def centres(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return where the centres of the content's pixels lie in the file: x by column and y by row."""
        columns = self.offset[1] + np.arange(self.content[1]) + 0.5
        rows = self.offset[0] + np.arange(self.content[0]) + 0.5
        # x depends only on the column and y only on the row, since nothing is rotated
        xs = self.to_frame(np.stack([columns, np.zeros_like(columns)], axis=1))[:, 0]
        ys = self.to_frame(np.stack([np.zeros_like(rows), rows], axis=1))[:, 1]
        return xs, ys

    def pad(self, content: NDArray[_T]) -> NDArray[_T]:
        """Put an array (height, width) of the content's size on an empty canvas (side, side)."""
        canvas = np.zeros((self.side, self.side), dtype=content.dtype)
        row, column = self.offset
        canvas[row : row + self.content[0], column : column + self.content[1]] = content
        return canvas

    def image(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        """Bring an image onto the canvas, area-averaged when it shrinks.

        Args:
            image: Float32 (h, w), the whole file at its own or a reduced resolution.

        Returns:
            Float32 (side, side).
        """
        # the image may have been decoded at reduced resolution
        window = self.window.scaled(self.frame, (image.shape[0], image.shape[1]))
        (y0, y1) = window.rows
        (x0, x1) = window.columns
        cropped = image[round(y0) : round(y1), round(x0) : round(x1)][:, :: -1 if window.flip else 1]
        return self.pad(_resize(np.ascontiguousarray(cropped), self.content))


def place(frame: Size, window: Window, side: int, resize: Resize) -> Placement:
    """Fit a window of an image into a square.

    Args:
        frame: (height, width) of the image in the file.
        window: The part to keep, in pixels of the frame.
        side: Side of the square in pixels.
        resize: `stretch` ignores the aspect ratio; `pad` keeps it and fills with zeros on both sides evenly.

    Returns:
        The placement.

    Raises:
        ValueError: If the window is empty.
    """
    height = window.rows[1] - window.rows[0]
    width = window.columns[1] - window.columns[0]
    if height <= 0 or width <= 0:
        raise ValueError(f"Expected a window with pixels but got rows {window.rows} and columns {window.columns}.")
    if resize == "stretch":
        return Placement(frame, window, (side, side), (0, 0), side)
    scale = side / max(height, width)
    content = (max(1, round(height * scale)), max(1, round(width * scale)))
    return Placement(frame, window, content, ((side - content[0]) // 2, (side - content[1]) // 2), side)


def _resize(image: NDArray[np.float32], size: Size) -> NDArray[np.float32]:
    """Average along axes that shrink, then interpolate along axes that grow: OpenCV averages only if both shrink."""
    smaller = (min(size[0], image.shape[0]), min(size[1], image.shape[1]))
    for target, interpolation in ((smaller, cv2.INTER_AREA), (size, cv2.INTER_LINEAR)):
        if image.shape != target:
            # OpenCV's sizes are (width, height)
            image = np.asarray(cv2.resize(image, target[::-1], interpolation=interpolation), dtype=np.float32)
    return image
