"""Find the breast on a mammogram, crop to it, window its grey values, remove the background, and mirror right breasts."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from data_modules.images.geometry import Window, whole
from data_modules.images.image_file import rescale
from data_modules.images.preparation import Image

# Long side, in pixels, of the copy in which the breast is found. Films have 5,000 pixels; its outline needs far fewer.
SEARCH_SIDE = 512
# a white stripe of the film's border: grey value, share of its row or column, and distance from the edge as a fraction
STRIPE_BRIGHTNESS = 0.95
STRIPE_LENGTH = 0.9
STRIPE_DEPTH = 0.1


@dataclass(frozen=True)
class PrepareBreast:
    """Crops to the largest bright component, and mirrors right breasts.

    Digitised films have labels, scratches, white borders and a background that is dark but not 0, which would fill most of a
    square frame. An image without any bright component is kept as it is.

    Attributes:
        threshold: Grey value in (0, 1) above which a pixel may be breast.
        margin: Border kept around the component, as a fraction of its size.
        crop: Whether to crop to the component and mirror right breasts.
        window_percentiles: Two percentiles of the grey values inside the breast that become 0 and 1, or None.
        remove_background: Whether everything outside the breast becomes 0.

    Raises:
        ValueError: If the threshold is outside (0, 1), the margin is negative, or the percentiles are not two increasing
            numbers in [0, 100].
    """

    threshold: float = 0.05
    margin: float = 0.02
    crop: bool = True
    window_percentiles: tuple[float, float] | None = None
    remove_background: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.threshold < 1:
            raise ValueError(f"Expected the breast threshold to be in (0, 1) but got {self.threshold}.")
        if self.margin < 0:
            raise ValueError(f"Expected the margin around the breast to be 0 or more but got {self.margin}.")
        if (
            self.window_percentiles is not None
            and not 0 <= self.window_percentiles[0] < self.window_percentiles[1] <= 100
        ):
            raise ValueError(f"Expected the window to be two rising percentiles but got {self.window_percentiles}.")

    @property
    def is_off(self) -> bool:
        """Whether every image is kept as it is."""
        return not self.crop and not self.remove_background and self.window_percentiles is None

    def __call__(self, image: Image) -> tuple[Image, Window]:
        """Preprocess one film.

        Args:
            image: Float32 (h, w) in [0, 1].

        Returns:
            Float32 (h, w) in [0, 1], and the window of the breast, which lies on the left after mirroring.
        """
        size = (image.shape[0], image.shape[1])
        breast = find_breast(image, self.threshold)
        if not breast.any():
            return image, whole(size)
        if self.window_percentiles is not None:
            # percentiles of the small copy, which the mask of the breast fits
            small = cv2.resize(image, breast.shape[::-1], interpolation=cv2.INTER_AREA)
            low, high = np.percentile(small[breast], self.window_percentiles)
            image = rescale(image, float(low), float(high))
        if self.remove_background:
            image = np.where(_outline(breast, size), image, np.float32(0))
        if not self.crop:
            return image, whole(size)
        # The breast lies on the side of its chest wall. Only the whole frame shows which: in the crop, it is centred.
        centre = float((breast.sum(axis=0) * (np.arange(breast.shape[1]) + 0.5)).sum() / breast.sum())
        rows = self._window(breast, 1, size[0])
        columns = self._window(breast, 0, size[1])
        return image, Window(rows, columns, flip=centre > breast.shape[1] / 2)

    def _window(self, breast: NDArray[np.bool_], axis: int, length: int) -> tuple[int, int]:
        """Return the extent of the component along the other axis, in pixels of the full image."""
        occupied = np.flatnonzero(breast.any(axis=axis))
        scale = length / breast.shape[1 - axis]
        first = occupied[0] * scale
        last = (occupied[-1] + 1) * scale
        margin = self.margin * (last - first)
        return max(0, int(first - margin)), min(length, int(np.ceil(last + margin)))


def find_breast(image: Image, threshold: float) -> NDArray[np.bool_]:
    """Find the largest component above a threshold, without white borders, after cutting thin bridges to labels.

    Args:
        image: Float32 (h, w) in [0, 1].
        threshold: Grey value above which a pixel may be breast.

    Returns:
        Bool mask that covers the same field of view, with a long side of at most 512 pixels.
    """
    scale = min(1.0, SEARCH_SIDE / max(image.shape))
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    possible = (small > threshold) & ~find_border(small)
    # opening cuts bridges of up to two pixels, which join labels to the breast
    bright = cv2.morphologyEx(possible.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    num, components, stats, _ = cv2.connectedComponentsWithStats(bright, connectivity=4)
    if num == 1:
        return np.zeros(bright.shape, dtype=np.bool_)
    # component 0 is the background
    largest = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    return np.asarray(components == largest, dtype=np.bool_)


def find_border(image: Image) -> NDArray[np.bool_]:
    """Find white stripes along the edges of a film, from the edge up to the innermost row or column that is all white.

    Args:
        image: Float32 (h, w) in [0, 1].

    Returns:
        Bool (h, w).
    """
    border = np.zeros(image.shape, dtype=np.bool_)
    for axis in (0, 1):
        white = (image > STRIPE_BRIGHTNESS).mean(axis=1 - axis) >= STRIPE_LENGTH
        depth = int(np.ceil(STRIPE_DEPTH * len(white)))
        first = np.flatnonzero(white[:depth])
        last = np.flatnonzero(white[::-1][:depth])
        lines = np.arange(len(white))
        # one more line inwards, which mixes border and film
        stripe = lines <= first[-1] + 1 if len(first) else np.zeros(len(white), np.bool_)
        stripe = stripe | (lines >= len(white) - last[-1] - 2) if len(last) else stripe
        border |= stripe[:, None] if axis == 0 else stripe[None, :]
    return border


def _outline(breast: NDArray[np.bool_], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the breast at full size, slightly enlarged, since its skin line fades into the background."""
    wider = cv2.dilate(breast.astype(np.uint8), np.ones((5, 5), np.uint8))
    full = cv2.resize(wider, size[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
    return np.asarray(full, dtype=np.bool_)
