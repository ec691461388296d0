"""Regions that are given as the pixels of a mask, in a file or run-length encoded."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data_modules.images.geometry import Size, is_rescaled
from data_modules.images.image_file import ImageReadError, read_mask

Axis = NDArray[np.float64]


@dataclass(frozen=True)
class MaskRegion:
    """A mask file that covers the whole annotated image, at any scale.

    Attributes:
        path: PNG, JPEG or DICOM; see `read_mask`.
    """

    path: Path

    def draw(self, xs: Axis, ys: Axis, frame: Size) -> NDArray[np.bool_]:
        """Return which points lie on set pixels.

        Raises:
            ImageReadError: If the file cannot be read, or is not the image at another scale.
        """
        mask = read_mask(self.path)
        check_scale(f"the mask '{self.path}'", (mask.shape[0], mask.shape[1]), frame)
        return _look_up(mask, xs, ys, frame)


@dataclass(frozen=True)
class RLERegion:
    """A mask in COCO run-length encoding.

    Attributes:
        size: (height, width) of the mask, which covers the whole annotated image at any scale.
        counts: Run lengths in column-major order, beginning with the background, as numbers or in COCO's compressed
            text.
    """

    size: Size
    counts: str | tuple[int, ...]

    def draw(self, xs: Axis, ys: Axis, frame: Size) -> NDArray[np.bool_]:
        """Return which points lie on set pixels.

        Raises:
            ImageReadError: If the mask is not the image at another scale.
        """
        check_scale("the run-length encoded mask", self.size, frame)
        return _look_up(self.decode(), xs, ys, frame)

    def decode(self) -> NDArray[np.bool_]:
        """Return the mask, bool (height, width).

        Raises:
            ValueError: If the runs do not add up to the size.
        """
        runs = _uncompress(self.counts) if isinstance(self.counts, str) else list(self.counts)
        if sum(runs) != self.size[0] * self.size[1] or min(runs, default=0) < 0:
            raise ValueError(
                f"Expected the runs of a mask of {self.size[0]} x {self.size[1]} pixels to add up to "
                f"{self.size[0] * self.size[1]} but got {sum(runs)}. Check that `size` is [height, width]."
            )
        # runs alternate between background and region, and go down the columns
        flat = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
        return np.asarray(flat.reshape(self.size[1], self.size[0]).T, dtype=np.bool_)


def check_scale(what: str, size: Size, frame: Size) -> None:
    """Check that an image can be a copy of the annotated one at another scale.

    Args:
        what: Description of the image or mask, for the message.
        size: Its (height, width).
        frame: (height, width) of the image that regions were drawn on.

    Raises:
        ImageReadError: If it is not. Cropped or squeezed copies of a data set are common, and regions would silently point
            elsewhere on them.
    """
    if not is_rescaled(size, frame):
        raise ImageReadError(
            f"Expected {what} to be the annotated image of {frame[0]} x {frame[1]} (height x width) at some scale, within one "
            f"pixel, but it is {size[0]} x {size[1]}. Regions cannot be placed on a cropped or squeezed copy: use the original, "
            "or a copy that was resized as a whole with its aspect ratio."
        )


def _look_up(mask: NDArray[np.bool_], xs: Axis, ys: Axis, frame: Size) -> NDArray[np.bool_]:
    """Return the pixel of a mask (h, w) below each point of a grid; False beyond the mask."""
    column = np.floor(xs * mask.shape[1] / frame[1]).astype(np.int64)  # (W,)
    row = np.floor(ys * mask.shape[0] / frame[0]).astype(np.int64)  # (H,)
    inside_x = (column >= 0) & (column < mask.shape[1])
    inside_y = (row >= 0) & (row < mask.shape[0])
    found = np.zeros((len(ys), len(xs)), dtype=np.bool_)
    found[np.ix_(inside_y, inside_x)] = mask[np.ix_(row[inside_y], column[inside_x])]
    return found


def _uncompress(text: str) -> list[int]:
    """Return the run lengths in COCO's compressed text.

    A character holds 5 bits, the lowest first, and a bit for "more follows". From the fourth run on, a number is the difference
    from the run two before.
    """
    runs: list[int] = []
    value = 0
    shift = 0
    for character in text:
        # six bits are written as one of the 64 characters from "0" on
        code = ord(character) - 48
        value |= (code & 31) << shift
        shift += 5
        if code & 32:
            continue
        # the highest of the bits read is the sign, as in two's complement
        if code & 16:
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = 0
        shift = 0
    return runs
