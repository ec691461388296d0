"""ROI geometry: from annotations in any convention to masks in the frame of the image that was read."""

from collections.abc import Sequence
from typing import Literal, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

BoxFormat = Literal["xyxy", "xywh", "yxyx", "xyxy_normalised", "xywh_normalised"]
Box = tuple[float, float, float, float]


def to_xyxy(box: Sequence[float], box_format: BoxFormat, size: tuple[int, int]) -> Box:
    """Convert one box to (x0, y0, x1, y1) in pixels, clipped to the image.

    Args:
        box: Four numbers.
        box_format: What they are. `yxyx` is [ymin, xmin, ymax, xmax]; `_normalised` are fractions of width and height.
        size: (height, width) of the image that the box refers to.

    Returns:
        The half-open box; it may be empty if the annotation lies outside the image.

    Raises:
        ValueError: If there are not four finite numbers.
    """
    if len(box) != 4 or not np.isfinite(box).all():
        raise ValueError(f"Expected a box of 4 finite numbers ({box_format}) but got {len(box)}: {list(box)}.")
    a, b, c, d = (float(value) for value in box)
    if box_format == "yxyx":
        a, b, c, d = b, a, d, c
    elif box_format.startswith("xywh"):
        c, d = a + c, b + d
    height, width = size
    if box_format.endswith("_normalised"):
        a, b, c, d = a * width, b * height, c * width, d * height
    return (
        min(max(a, 0.0), width),
        min(max(b, 0.0), height),
        min(max(c, 0.0), width),
        min(max(d, 0.0), height),
    )


def rasterise_boxes(boxes: Sequence[Box], frame: tuple[int, int], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Draw the union of boxes on a grid: a pixel is inside when its centre is inside a half-open box.

    Args:
        boxes: (x0, y0, x1, y1) in pixels of the original image.
        frame: (height, width) of the original image.
        size: (height, width) of the mask, which covers the same field of view.

    Returns:
        Bool mask (height, width).
    """
    ys = (np.arange(size[0]) + 0.5) * frame[0] / size[0]
    xs = (np.arange(size[1]) + 0.5) * frame[1] / size[1]
    mask = np.zeros(size, dtype=np.bool_)
    for x0, y0, x1, y1 in boxes:
        mask |= ((ys >= y0) & (ys < y1))[:, None] & ((xs >= x0) & (xs < x1))[None, :]
    return mask


def resize_mask(mask: NDArray[np.bool_], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Resample a mask at pixel centres, so that it stays aligned with the resized image.

    Args:
        mask: Bool (h, w).
        size: Target (height, width), covering the same field of view.

    Returns:
        Bool mask of the target size.
    """
    if mask.shape == size:
        return mask
    resized = cv2.resize(mask.astype(np.uint8), (size[1], size[0]), interpolation=cv2.INTER_NEAREST_EXACT)
    return np.asarray(resized, dtype=np.bool_)


def same_aspect(first: tuple[int, int], second: tuple[int, int], tolerance: float = 0.01) -> bool:
    """Return whether two (height, width) sizes differ by scale only, up to a relative tolerance."""
    return abs(first[0] * second[1] / (first[1] * second[0]) - 1) <= tolerance


Resize = Literal["stretch", "pad"]
_T = TypeVar("_T", bound=np.generic)


def fit_image(image: NDArray[np.float32], size: int, resize: Resize) -> NDArray[np.float32]:
    """Resize an image to a square frame, area-averaged when it shrinks.

    Args:
        image: Float32 (h, w).
        size: Side of the frame in pixels.
        resize: `stretch` ignores the aspect ratio; `pad` keeps it and fills with zeros on both sides evenly.

    Returns:
        Float32 (size, size).
    """
    height, width = _fitted_size((image.shape[0], image.shape[1]), size, resize)
    shrinks = height < image.shape[0] or width < image.shape[1]
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    resized = image
    if image.shape != (height, width):
        resized = np.asarray(cv2.resize(image, (width, height), interpolation=interpolation), dtype=np.float32)
    return _pad(resized, size)


def fit_mask(mask: NDArray[np.bool_], size: int, resize: Resize) -> NDArray[np.bool_]:
    """Bring a mask into the same frame as `fit_image` brings its image.

    Args:
        mask: Bool (h, w).
        size: Side of the frame in pixels.
        resize: As for the image.

    Returns:
        Bool (size, size).
    """
    return _pad(resize_mask(mask, _fitted_size((mask.shape[0], mask.shape[1]), size, resize)), size)


def _fitted_size(source: tuple[int, int], size: int, resize: Resize) -> tuple[int, int]:
    if resize == "stretch":
        return size, size
    scale = size / max(source)
    return max(1, round(source[0] * scale)), max(1, round(source[1] * scale))


def _pad(array: NDArray[_T], size: int) -> NDArray[_T]:
    rows, columns = size - array.shape[0], size - array.shape[1]
    if rows == columns == 0:
        return array
    return np.pad(array, ((rows // 2, rows - rows // 2), (columns // 2, columns - columns // 2)))
