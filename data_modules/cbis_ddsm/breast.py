"""Crop a mammogram to the breast and turn it to one side, with its masks."""

from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

# long side of the image in which the breast is looked for: the outline needs no more, and films have 5,000 pixels
SEARCH_SIDE = 512

Image = NDArray[np.float32]
Masks = list[NDArray[np.bool_]]
_T = TypeVar("_T", bound=np.generic)


class CropBreast:
    """Crops to the largest bright component and mirrors right breasts, image and masks alike.

    Digitised films have labels, scratches and a background that is dark but not 0; they take most of a square frame if
    they are kept. An image without any bright component is returned as it is.

    Args:
        threshold: Grey value in (0, 1) above which a pixel may be breast.
        margin: Border kept around the component, as a fraction of its size.

    Raises:
        ValueError: If the threshold is outside (0, 1) or the margin is negative.
    """

    def __init__(self, threshold: float = 0.05, margin: float = 0.02) -> None:
        if not 0 < threshold < 1:
            raise ValueError(f"Expected the breast threshold to be in (0, 1) but got {threshold}.")
        if margin < 0:
            raise ValueError(f"Expected the margin around the breast to be 0 or more but got {margin}.")
        self.threshold, self.margin = threshold, margin

    def __call__(self, image: Image, masks: Masks) -> tuple[Image, Masks]:
        """Crop and turn.

        Args:
            image: Float32 (h, w) in [0, 1].
            masks: Bool (h, w) each.

        Returns:
            Image and masks, all of the same smaller size, with the breast on the left.
        """
        breast = find_breast(image, self.threshold)
        if not breast.any():
            return image, masks
        rows, columns = self._window(breast, 1, image.shape[0]), self._window(breast, 0, image.shape[1])
        # The breast lies towards its chest wall. Only the whole frame tells: within the crop it is centred by itself.
        centre = float((breast.sum(axis=0) * (np.arange(breast.shape[1]) + 0.5)).sum() / breast.sum())
        step = -1 if centre > breast.shape[1] / 2 else 1
        return _cut(image, rows, columns, step), [_cut(mask, rows, columns, step) for mask in masks]

    def _window(self, breast: NDArray[np.bool_], axis: int, length: int) -> slice:
        """Return the extent of the component along the other axis, in pixels of the full image."""
        occupied = np.flatnonzero(breast.any(axis=axis))
        scale = length / breast.shape[1 - axis]
        first, last = occupied[0] * scale, (occupied[-1] + 1) * scale
        margin = self.margin * (last - first)
        return slice(max(0, int(first - margin)), min(length, int(np.ceil(last + margin))))


def find_breast(image: Image, threshold: float) -> NDArray[np.bool_]:
    """Find the breast: the largest component above a threshold, after thin bridges to labels are cut.

    Args:
        image: Float32 (h, w) in [0, 1].
        threshold: Grey value above which a pixel may be breast.

    Returns:
        Bool mask that covers the same field of view, with a long side of at most 512 pixels.
    """
    scale = min(1.0, SEARCH_SIDE / max(image.shape))
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    bright = cv2.morphologyEx((small > threshold).astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    num, components, stats, _ = cv2.connectedComponentsWithStats(bright, connectivity=4)
    if num == 1:
        return np.zeros(bright.shape, dtype=np.bool_)
    largest = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    return np.asarray(components == largest, dtype=np.bool_)


def _cut(array: NDArray[_T], rows: slice, columns: slice, step: int) -> NDArray[_T]:
    return np.ascontiguousarray(array[rows, columns][:, ::step])
