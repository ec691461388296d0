"""Shortcuts that a student may learn in place of a finding, a chest drain and a corner marker; and the side letter.

In the training split only, chest drains go with pneumothoraces and corner markers with effusions. In validation and test
they are independent of everything, which exposes a model that relies on them.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from data_modules.phantoms.chest.anatomy import Thorax
from data_modules.phantoms.chest.findings import Pneumothorax, sample_side
from data_modules.phantoms.primitives import REFERENCE_SIZE, FloatImage

NUM_CURVE_POINTS = 24
# cv2.polylines takes fixed-point coordinates with this many fractional bits
SUBPIXEL_BITS = 4


@dataclass(frozen=True)
class ShortcutRates:
    """Rates of drains and markers.

    Attributes:
        drain_with: Rate of chest drains in images with a pneumothorax.
        drain_without: Rate of chest drains in the others.
        marker_with: Rate of corner markers in images with an effusion.
        marker_without: Rate of corner markers in the others.
    """

    drain_with: float
    drain_without: float
    marker_with: float
    marker_without: float


TRAINING_RATES = ShortcutRates(0.80, 0.04, 0.80, 0.10)
EVALUATION_RATES = ShortcutRates(0.30, 0.30, 0.35, 0.35)


@dataclass(frozen=True)
class ChestDrain:
    """A tube from the lateral chest wall into the lung.

    Attributes:
        side: The patient's side.
        entry_y: Height of the entry, in half lung heights below the centre of the lung.
        tip_y: Height of the tip, likewise.
        bend: Vertical displacement of the curve's control point.
    """

    side: int
    entry_y: float
    tip_y: float
    bend: float


@dataclass(frozen=True)
class CornerMarker:
    """A bright angle in the upper left corner of the image.

    Attributes:
        x: Left edge.
        y: Upper edge.
    """

    x: float
    y: float


def sample_chest_drain(
    rng: np.random.Generator, rates: ShortcutRates, pneumothorax: Pneumothorax | None
) -> ChestDrain | None:
    """Sample whether there is a chest drain, mostly on the side of the pneumothorax, and its course.

    Args:
        rng: Generator.
        rates: Rates of the split.
        pneumothorax: The pneumothorax, if there is one.

    Returns:
        The drain, or None.
    """
    if rng.random() >= (rates.drain_with if pneumothorax else rates.drain_without):
        return None
    beside = pneumothorax is not None and rng.random() < 0.9
    side = pneumothorax.side if pneumothorax is not None and beside else sample_side(rng)
    entry_y = float(rng.uniform(0.35, 0.65))
    tip_y = float(rng.uniform(-0.1, 0.3))
    return ChestDrain(side, entry_y, tip_y, float(rng.uniform(-0.05, 0.05)))


def sample_corner_marker(rng: np.random.Generator, rates: ShortcutRates, effusion: bool) -> CornerMarker | None:
    """Sample whether there is a corner marker, and its position.

    Args:
        rng: Generator.
        rates: Rates of the split.
        effusion: Whether there is an effusion.

    Returns:
        The marker, or None.
    """
    if rng.random() >= (rates.marker_with if effusion else rates.marker_without):
        return None
    return CornerMarker(float(rng.uniform(0.03, 0.09)), float(rng.uniform(0.03, 0.07)))


def draw_chest_drain(drain: ChestDrain, thorax: Thorax, size: int) -> FloatImage:
    """Grey levels that a chest drain adds.

    Args:
        drain: The drain.
        thorax: The anatomy.
        size: Side of the image in pixels.

    Returns:
        Float32 (size, size).
    """
    points = _untilt(_course(drain, thorax), thorax.tilt) * size
    canvas = np.zeros((size, size), np.float32)
    fixed_point = np.round(points * 2**SUBPIXEL_BITS).astype(np.int32)
    cv2.polylines(canvas, [fixed_point], False, 1.0, max(1, size // 64), cv2.LINE_8, SUBPIXEL_BITS)
    blurred: FloatImage = cv2.GaussianBlur(canvas, (0, 0), 0.5 * size / REFERENCE_SIZE)
    return 0.40 * blurred


def _course(drain: ChestDrain, thorax: Thorax) -> NDArray[np.float64]:
    """Points of a quadratic Bezier curve from chest wall to tip, (n, 2), in the tilted frame."""
    lung = thorax.lungs[drain.side]
    outward = lung.direction * lung.half_width
    entry = np.array([lung.center_x + 1.15 * outward, thorax.lung_y + thorax.lung_height * drain.entry_y])
    tip = np.array([lung.center_x - 0.2 * outward, thorax.lung_y + thorax.lung_height * drain.tip_y])
    control = (entry + tip) / 2 + np.array([0, drain.bend])
    t = np.linspace(0, 1, NUM_CURVE_POINTS)[:, None]
    course: NDArray[np.float64] = (1 - t) ** 2 * entry + 2 * t * (1 - t) * control + t**2 * tip
    return course


def _untilt(points: NDArray[np.float64], tilt: float) -> NDArray[np.float64]:
    cosine = math.cos(tilt)
    sine = math.sin(tilt)
    # from the right, this undoes the rotation of `chest_fields`
    rotation = np.array([[cosine, -sine], [sine, cosine]])
    return np.asarray(0.5 + (points - 0.5) @ rotation)


def draw_corner_marker(marker: CornerMarker, image: FloatImage) -> None:
    """Draw a corner marker into an image.

    Args:
        marker: The marker.
        image: Float32 (S, S), changed in place.
    """
    size = image.shape[0]
    x = int(size * marker.x)
    y = int(size * marker.y)
    length = int(size * 0.10)
    image[y : y + max(2, size // 42), x : x + length] += 0.75
    image[y : y + length // 2, x : x + max(2, size // 64)] += 0.75


def draw_side_letter(image: FloatImage) -> None:
    """Draw the plate of the side letter, which every image has on the patient's left.

    Args:
        image: Float32 (S, S), changed in place.
    """
    size = image.shape[0]
    image[int(0.04 * size) : int(0.10 * size), int(0.88 * size) : int(0.93 * size)] += 0.6
