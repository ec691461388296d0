"""Drawing primitives that the phantoms share: pixel grid, soft edges, textures, boxes.

Every length is a fraction of the image side, and random textures are drawn as coarse lattices and then enlarged, so that a
phantom is the same picture at any resolution.
"""

from functools import cache
from typing import Any, NamedTuple, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

FloatImage: TypeAlias = NDArray[np.floating[Any]]
BoolImage: TypeAlias = NDArray[np.bool_]

# Side length at which the phantoms were designed; texture lattices and widths of strokes refer to it.
REFERENCE_SIZE = 128
# A region of fewer pixels at the reference size is too small to be annotated.
MIN_REGION_PIXELS = 6
# bound of the argument of exp(): larger ones change no grey level and might overflow float32
MAX_LOGIT = 40.0


class Box(NamedTuple):
    """A box in pixels: left column, top row, width, height."""

    x: int
    y: int
    width: int
    height: int


@cache
def pixel_grid(size: int) -> tuple[FloatImage, FloatImage]:
    """Coordinates of the pixel centres of a square image.

    Args:
        size: Side of the image in pixels.

    Returns:
        Read-only x and y, each float32 (size, size) in (0, 1).
    """
    centers = (np.arange(size, dtype=np.float32) + 0.5) / size
    x, y = (np.ascontiguousarray(axis, dtype=np.float32) for axis in np.meshgrid(centers, centers))
    # every caller gets the same cached arrays
    x.setflags(write=False)
    y.setflags(write=False)
    return x, y


def sigmoid(logit: FloatImage) -> FloatImage:
    """Logistic function: the soft edge of every drawn shape.

    Args:
        logit: Float32 (H, W).

    Returns:
        Float32 (H, W) in [0, 1].
    """
    decay: FloatImage = cv2.exp(np.clip(-logit, -MAX_LOGIT, MAX_LOGIT))
    return np.reciprocal(1 + decay)


def ridge(distance: FloatImage, width: float) -> FloatImage:
    """Gaussian profile across a line or centre, `exp(-(distance / width) ** 2)`.

    Args:
        distance: Signed distance, float32 (H, W).
        width: Distance at which the profile has fallen to 1 / e.

    Returns:
        Float32 (H, W) in [0, 1].
    """
    scaled = distance / width
    # values below exp(-40) are invisible, and denormal numbers are slow
    profile: FloatImage = cv2.exp(np.maximum(-scaled * scaled, -MAX_LOGIT))
    return profile


def power(base: FloatImage, exponent: float) -> FloatImage:
    """`|base| ** exponent`, several times faster than NumPy's for exponents that are not integers.

    Args:
        base: Float32 (H, W).
        exponent: Exponent.

    Returns:
        Float32 (H, W), not negative.
    """
    result: FloatImage = cv2.pow(np.abs(base), exponent)
    return result


def draw_lattice(rng: np.random.Generator, grain: float) -> FloatImage:
    """Draw the coarse lattice of a smooth random texture.

    Args:
        rng: Generator.
        grain: Distance between lattice points, in pixels of the reference size.

    Returns:
        Float32 (n, n), standard normal; to be enlarged by `texture`.
    """
    side = max(2, int(REFERENCE_SIZE / grain)) + 3
    return rng.standard_normal((side, side)).astype(np.float32)


def texture(lattice: FloatImage, size: int) -> FloatImage:
    """Enlarge a lattice to a smooth texture.

    Args:
        lattice: Float32 (n, n) from `draw_lattice`.
        size: Side of the texture in pixels.

    Returns:
        Float32 (size, size) of unit standard deviation.
    """
    field: FloatImage = cv2.resize(lattice, (size, size), interpolation=cv2.INTER_CUBIC)
    # interpolation between lattice points reduces the spread
    return np.asarray(field / (field.std() + np.float32(1e-6)), dtype=np.float32)


def min_region_pixels(size: int) -> int:
    """Number of pixels below which a region counts as invisible.

    Args:
        size: Side of the image in pixels.

    Returns:
        Count, at least 1.
    """
    return max(1, round(MIN_REGION_PIXELS * (size / REFERENCE_SIZE) ** 2))


def bounding_box(mask: BoolImage) -> Box | None:
    """Tight box of a region.

    Args:
        mask: Bool (H, W).

    Returns:
        The box, or None if the region is too small to be seen.
    """
    if np.count_nonzero(mask) < min_region_pixels(mask.shape[0]):
        return None
    rows = np.flatnonzero(mask.any(axis=1))
    columns = np.flatnonzero(mask.any(axis=0))
    x = int(columns[0])
    y = int(rows[0])
    return Box(x, y, int(columns[-1]) + 1 - x, int(rows[-1]) + 1 - y)


def pick(rng: np.random.Generator, *options: str) -> str:
    """Choose one of several words or phrases, each with the same probability.

    Args:
        rng: Generator.
        *options: The phrases.

    Returns:
        The chosen phrase.
    """
    return options[int(rng.integers(len(options)))]
