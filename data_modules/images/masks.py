"""Find the region in a mask file, in the forms that annotation tools write.

A mask has two levels. A file that does not show which of them is the region is refused.
"""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

# modes of integers or floats of more than 8 bits, which Pillow clips when it converts them
WIDE_MODES = ("I;16", "I;16L", "I;16B", "I;16N", "I", "F")
# a file with more than two levels, none above this, numbers its regions; otherwise the levels are a smoothed edge
MAX_NUMBER = 31
# difference between channels of grey, or of one colour, that JPEG and smoothed edges cause
NOISE = 16
# share of the way from background to region beyond which a flat area is no artefact of compression
DARK = 0.15
Mask = NDArray[np.bool_]


class MaskError(ValueError):
    """A file does not show which pixels are the region; the message says why."""


def region_of(image: Image.Image) -> Mask:
    """Return the pixels of the region.

    In a partly transparent file these are the opaque pixels, in one with a coloured palette those whose index is not 0, and in
    any other those above half of the largest value.

    Args:
        image: An opened file of any mode.

    Returns:
        Bool (h, w).

    Raises:
        MaskError: If the file holds several regions, or does not distinguish region and background.
    """
    if image.mode in WIDE_MODES:
        return bright(np.asarray(image))
    if image.has_transparency_data:
        colours = np.asarray(image.convert("RGBA"))
        alpha = colours[..., 3]
        if alpha.min() < alpha.max() or not alpha.any():
            return _opaque(colours[..., :3], alpha)
    if image.mode in ("P", "PA"):
        return _indexed(image)
    if image.mode in ("1", "L", "LA", "La"):
        return bright(np.asarray(image.convert("L")))
    return _coloured(np.asarray(image.convert("RGB")))


def bright(values: NDArray[Any]) -> Mask:
    """Return where values are above half of the largest, which works for {0, 1}, {0, 2}, {0, 255} and JPEG ringing.

    Args:
        values: Numbers (h, w).

    Returns:
        Bool (h, w).

    Raises:
        MaskError: If values are not finite, if none of several is dark, if they number regions, or if there is a darker area
            beside the bright one.
    """
    low = float(values.min())
    high = float(values.max())
    if not np.isfinite(low + high):
        raise MaskError("its values are not finite")
    if low < high and 2 * low > high:
        raise MaskError(f"its values reach from {low:g} to {high:g}, none of which is a dark background")
    if 0 <= low < high <= MAX_NUMBER:
        numbers = np.unique(values)
        if len(numbers) > 2:
            raise MaskError(f"it holds {len(numbers)} values up to {high:g}: a mask of each region is expected")
    region = np.asarray(values > max(high / 2, 0), dtype=np.bool_)
    # smoothing and compression leave values in between, too, but these vary or form a thin rim
    darker = ~region & (values > low + DARK * (high - low))
    # most masks have only two levels, and need no look at neighbours
    if darker.any():
        darker &= _is_flat(values)
    if darker.any():
        raise MaskError(
            f"beside what is bright it holds an area of the value {float(values[darker][0]):g}, of {high:g}"
        )
    return region


def _is_flat(values: NDArray[Any]) -> Mask:
    """Return where a pixel and its eight neighbours have one value."""
    window = np.ones((3, 3), dtype=np.uint8)
    single = np.asarray(values, dtype=np.float32)
    return np.asarray(cv2.erode(single, window) == cv2.dilate(single, window), dtype=np.bool_)


def _opaque(colours: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> Mask:
    region = np.asarray(2 * alpha.astype(np.int64) > alpha.max(), dtype=np.bool_)
    if region.any() and np.ptp(colours[region], axis=0).max() > NOISE:
        raise MaskError("it is partly transparent, and what is opaque has several colours")
    return region


def _indexed(image: Image.Image) -> Mask:
    indices = np.asarray(image if image.mode == "P" else image.getchannel("P"))
    used = np.flatnonzero(np.bincount(indices.ravel(), minlength=256))
    colours = np.zeros((256, 3), dtype=np.int64)
    palette = np.asarray(image.getpalette("RGB")).reshape(-1, 3)
    colours[: len(palette)] = palette
    colours = colours[used]
    if (np.ptp(colours, axis=1) == 0).all():
        return bright(np.asarray(image.convert("L")))
    is_black = (colours == 0).all(axis=1)
    if len(used) > 2 or (len(used) == 2 and used[0] != 0) or is_black[1:].any():
        raise MaskError(
            f"it is a palette image of the indices {used[:5].tolist()}: 0 for the background and one other are expected"
        )
    return np.asarray(indices != 0, dtype=np.bool_)


def _coloured(colours: NDArray[np.uint8]) -> Mask:
    values = colours.max(axis=-1)
    region = bright(values)
    is_grey = np.ptp(colours, axis=-1).max() <= NOISE
    if not is_grey and region.any():
        # a smoothed edge darkens a colour but keeps its proportions
        proportions = colours[region] / values[region][:, None]
        if np.ptp(proportions, axis=0).max() > NOISE / 128:
            raise MaskError("its regions, or its background and its region, have several colours")
    return region
