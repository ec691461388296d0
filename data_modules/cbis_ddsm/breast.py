"""Crop a mammogram to the breast and turn it to one side."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from data_modules.geometry import Window, whole
from data_modules.preparation import Image

# long side of the image in which the breast is looked for: the outline needs no more, and films have 5,000 pixels
SEARCH_SIDE = 512


@dataclass(frozen=True)
class CropBreast:
    """Keeps the largest bright component, and mirrors right breasts.

    Digitised films have labels, scratches and a background that is dark but not 0; they take most of a square frame if
    they are kept. An image without any bright component is kept whole.

    Attributes:
        threshold: Grey value in (0, 1) above which a pixel may be breast.
        margin: Border kept around the component, as a fraction of its size.

    Raises:
        ValueError: If the threshold is outside (0, 1) or the margin is negative.
    """

    threshold: float = 0.05
    margin: float = 0.02

    def __post_init__(self) -> None:
        if not 0 < self.threshold < 1:
            raise ValueError(f"Expected the breast threshold to be in (0, 1) but got {self.threshold}.")
        if self.margin < 0:
            raise ValueError(f"Expected the margin around the breast to be 0 or more but got {self.margin}.")

    def __call__(self, image: Image) -> tuple[Image, Window]:
        """Find the window of the breast.

        Args:
            image: Float32 (h, w) in [0, 1].

        Returns:
            The image as it is, and the window; mirrored, the breast lies on the left.
        """
        breast = find_breast(image, self.threshold)
        if not breast.any():
            return image, whole((image.shape[0], image.shape[1]))
        # The breast lies towards its chest wall. Only the whole frame tells: within the crop it is centred by itself.
        centre = float((breast.sum(axis=0) * (np.arange(breast.shape[1]) + 0.5)).sum() / breast.sum())
        rows, columns = self._window(breast, 1, image.shape[0]), self._window(breast, 0, image.shape[1])
        return image, Window(rows, columns, flip=centre > breast.shape[1] / 2)

    def _window(self, breast: NDArray[np.bool_], axis: int, length: int) -> tuple[int, int]:
        """Return the extent of the component along the other axis, in pixels of the full image."""
        occupied = np.flatnonzero(breast.any(axis=axis))
        scale = length / breast.shape[1 - axis]
        first, last = occupied[0] * scale, (occupied[-1] + 1) * scale
        margin = self.margin * (last - first)
        return max(0, int(first - margin)), min(length, int(np.ceil(last + margin)))


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
