"""Masses and calcifications, in the vocabulary of CBIS-DDSM."""

from dataclasses import dataclass, replace

import cv2
import numpy as np

from data_modules.phantoms.primitives import BoolImage, FloatImage, ridge, sigmoid

SHAPES = ("ROUND", "OVAL", "LOBULATED", "IRREGULAR", "ARCHITECTURAL_DISTORTION")
MARGINS = ("CIRCUMSCRIBED", "OBSCURED", "MICROLOBULATED", "ILL_DEFINED", "SPICULATED")
TYPES = ("PUNCTATE", "ROUND_AND_REGULAR", "COARSE", "AMORPHOUS", "PLEOMORPHIC", "FINE_LINEAR_BRANCHING")
DISTRIBUTIONS = ("CLUSTERED", "LINEAR", "SEGMENTAL", "REGIONAL", "DIFFUSELY_SCATTERED")
# contributions to the logit of malignancy
SHAPE_WEIGHT = dict(zip(SHAPES, (-0.8, -0.8, -0.1, 1.0, 0.8), strict=True))
MARGIN_WEIGHT = dict(zip(MARGINS, (-1.8, -0.5, 0.5, 0.9, 2.4), strict=True))
TYPE_WEIGHT = dict(zip(TYPES, (-1.0, -2.0, -2.2, 0.2, 1.5, 2.6), strict=True))
DISTRIBUTION_WEIGHT = dict(zip(DISTRIBUTIONS, (0.3, 1.0, 0.8, -0.3, -1.2), strict=True))
# how steep the edge of a mass is, by margin
EDGE = dict(zip(MARGINS, (16.0, 9.0, 14.0, 3.2, 8.0), strict=True))
# number of calcifications and their spread along and across, by distribution
CLUSTER = {
    "CLUSTERED": (14, 0.035, 0.035),
    "LINEAR": (14, 0.075, 0.008),
    "SEGMENTAL": (20, 0.065, 0.030),
    "REGIONAL": (22, 0.075, 0.065),
    "DIFFUSELY_SCATTERED": (26, 0.13, 0.12),
}
UPSAMPLING = 4


@dataclass(frozen=True)
class Mass:
    """A mass.

    Attributes:
        shape: One of `SHAPES`.
        margins: One of `MARGINS`.
        radius: Mean radius.
        phase: Orientation, in radians.
        density: Grey level that is added.
        harmonics: (amplitude, phase) of the outline's harmonics 2, 3, 4, 5 and 7, of irregular masses.
        spicules: Length of the spicules and their angles; empty if there are none.
    """

    shape: str
    margins: str
    radius: float
    phase: float
    density: float
    harmonics: tuple[tuple[float, float], ...]
    spicules: tuple[float, tuple[float, ...]]

    @property
    def weight(self) -> float:
        """Contribution to the logit of malignancy."""
        return SHAPE_WEIGHT[self.shape] + MARGIN_WEIGHT[self.margins]


@dataclass(frozen=True)
class Calcifications:
    """A group of calcifications.

    Attributes:
        kind: One of `TYPES`.
        distribution: One of `DISTRIBUTIONS`.
        angle: Orientation of the group, in radians.
        offsets: Positions relative to the centre, float32 (n, 2).
        seed: Seed of the individual shapes.
    """

    kind: str
    distribution: str
    angle: float
    offsets: FloatImage
    seed: int

    @property
    def weight(self) -> float:
        """Contribution to the logit of malignancy."""
        return TYPE_WEIGHT[self.kind] + DISTRIBUTION_WEIGHT[self.distribution]


def sample_mass(rng: np.random.Generator) -> Mass:
    """Draw a mass; suspicious shapes and margins come together."""
    aggressive = rng.random() < 0.5
    shape_p = (0.05, 0.10, 0.20, 0.53, 0.12) if aggressive else (0.24, 0.38, 0.28, 0.09, 0.01)
    margin_p = (0.03, 0.09, 0.13, 0.31, 0.44) if aggressive else (0.56, 0.24, 0.10, 0.08, 0.02)
    shape = SHAPES[rng.choice(5, p=shape_p)]
    margins = MARGINS[rng.choice(5, p=margin_p)]
    radius = float(rng.uniform(0.055, 0.095))
    factor = {"SPICULATED": 1.35, "ILL_DEFINED": 1.35, "CIRCUMSCRIBED": 0.9}.get(margins, 1.0)
    density = float(rng.uniform(0.24, 0.34)) * factor
    return _project_mass(rng, Mass(shape, margins, radius, 0.0, density, (), (0.0, ())))


def project(rng: np.random.Generator, lesion: Mass | Calcifications) -> Mass | Calcifications:
    """Show a lesion from another side: its outline changes, its descriptors do not.

    Args:
        rng: Generator.
        lesion: The lesion.

    Returns:
        The lesion in another view, with the same descriptors, size and density.
    """
    return _project_mass(rng, lesion) if isinstance(lesion, Mass) else _project_calcifications(rng, lesion)


def _project_mass(rng: np.random.Generator, mass: Mass) -> Mass:
    harmonics: tuple[tuple[float, float], ...] = ()
    if mass.shape in ("IRREGULAR", "ARCHITECTURAL_DISTORTION"):
        harmonics = tuple((float(rng.uniform(-0.16, 0.16)), float(rng.uniform(0, 2 * np.pi))) for _ in range(5))
    spicules: tuple[float, tuple[float, ...]] = (0.0, ())
    if mass.margins == "SPICULATED" or mass.shape == "ARCHITECTURAL_DISTORTION":
        count = int(rng.integers(9, 16))
        angles = tuple(2 * np.pi * k / count + float(rng.uniform(-0.15, 0.15)) for k in range(count))
        spicules = (mass.radius * float(rng.uniform(1.9, 2.6)), angles)
    return replace(mass, phase=float(rng.uniform(0, 2 * np.pi)), harmonics=harmonics, spicules=spicules)


def sample_calcifications(rng: np.random.Generator) -> Calcifications:
    """Draw a group of calcifications."""
    aggressive = rng.random() < 0.45
    type_p = (0.06, 0.02, 0.02, 0.20, 0.45, 0.25) if aggressive else (0.27, 0.24, 0.24, 0.16, 0.08, 0.01)
    place_p = (0.48, 0.17, 0.20, 0.11, 0.04) if aggressive else (0.52, 0.06, 0.06, 0.20, 0.16)
    kind = TYPES[rng.choice(6, p=type_p)]
    distribution = DISTRIBUTIONS[rng.choice(5, p=place_p)]
    count = max(6, int(CLUSTER[distribution][0] * rng.uniform(0.7, 1.3)))
    if kind == "COARSE":
        count = max(3, count // 3)
    places = np.zeros((count, 2), dtype=np.float32)
    return _project_calcifications(rng, Calcifications(kind, distribution, 0.0, places, 0))


def _project_calcifications(rng: np.random.Generator, group: Calcifications) -> Calcifications:
    _, along, across = CLUSTER[group.distribution]
    # clipped, so that no calcification strays far from its group
    offsets = np.clip(rng.standard_normal(group.offsets.shape), -1.8, 1.8) * (along, across)
    angle = float(rng.uniform(0, 2 * np.pi))
    seed = int(rng.integers(2**32))
    return replace(group, angle=angle, offsets=offsets.astype(np.float32), seed=seed)


def draw_mass(mass: Mass, dx: FloatImage, dy: FloatImage) -> tuple[FloatImage, BoolImage]:
    """Grey levels that a mass adds, at full contrast.

    Args:
        mass: The mass.
        dx: Horizontal distance from its centre, float32 (S, S).
        dy: Vertical distance.

    Returns:
        Float32 (S, S) and the region, spicules included, bool (S, S).
    """
    angle = np.arctan2(dy, dx)
    level = np.sqrt(dx * dx + dy * dy) / _outline(mass, angle)  # below 1 inside
    body = sigmoid((1 - level) * np.float32(EDGE[mass.margins]))
    if mass.margins == "OBSCURED":
        # overlying tissue hides one side of the mass
        body = body * (1 - 0.75 * sigmoid((np.cos(angle - np.float32(mass.phase)) * level - 0.15) * 6))
    if mass.shape == "ARCHITECTURAL_DISTORTION":
        body = body * 0.35
    added = mass.density * body
    region = body > 0.5
    length, angles = mass.spicules
    if angles:
        lines = np.zeros_like(dx)
        for direction in angles:
            cosine = np.float32(np.cos(direction))
            sine = np.float32(np.sin(direction))
            # coordinates along the spicule and across it
            along = dx * cosine + dy * sine
            across = dy * cosine - dx * sine
            fading = np.clip(1.15 - along / np.float32(length), 0, 1) * (along > 0)
            lines = np.maximum(lines, ridge(across, 0.0085) * fading)
        added = np.maximum(added, 0.32 * lines)
        region = region | (lines > 0.35)
    return added, region


def _outline(mass: Mass, angle: FloatImage) -> FloatImage:
    """Return the radius of the outline in every direction."""
    phase = np.float32(mass.phase)
    outline = np.full_like(angle, mass.radius)
    if mass.shape == "OVAL":
        outline *= 1 + 0.28 * np.cos(2 * (angle - phase))
    elif mass.shape == "LOBULATED":
        outline *= 1 + 0.20 * np.cos(3 * (angle - phase))
    for harmonic, (amplitude, shift) in zip((2, 3, 4, 5, 7), mass.harmonics, strict=False):
        outline += np.float32(mass.radius * amplitude) * np.cos(harmonic * angle + np.float32(shift))
    if mass.margins == "MICROLOBULATED":
        outline *= 1 + 0.09 * np.cos(11 * angle + phase)
    return outline


def draw_calcifications(group: Calcifications, x: float, y: float, size: int) -> tuple[FloatImage, BoolImage]:
    """Grey levels that a group of calcifications adds, at full contrast.

    Args:
        group: The group.
        x: Horizontal position of its centre.
        y: Vertical position.
        size: Side of the image in pixels.

    Returns:
        Float32 (S, S) and the region around the group, bool (S, S).
    """
    rng = np.random.default_rng(group.seed)
    cosine = np.cos(group.angle)
    sine = np.sin(group.angle)
    rotation = np.array([[cosine, sine], [-sine, cosine]])
    places = (group.offsets @ rotation + (x, y)) * size * UPSAMPLING
    canvas = np.zeros((size * UPSAMPLING,) * 2, dtype=np.float32)
    scale = size / 128  # strokes were designed at 128 pixels
    for place in places:
        _draw_calcification(canvas, group, (int(place[0]), int(place[1])), scale, rng)
    # drawn upsampled, since calcifications are smaller than a pixel
    blurred = cv2.GaussianBlur(canvas, (0, 0), 1.2 * scale)
    added = np.asarray(cv2.resize(blurred, (size, size), interpolation=cv2.INTER_AREA), dtype=np.float32)
    kernel = np.ones((max(3, round(5 * scale)),) * 2, dtype=np.uint8)
    region = cv2.dilate((added > 0.05).astype(np.uint8), kernel)
    return 0.75 * added, np.asarray(region, dtype=np.bool_)


def _draw_calcification(
    canvas: FloatImage, group: Calcifications, center: tuple[int, int], scale: float, rng: np.random.Generator
) -> None:
    """Draw one calcification; lengths are in upsampled pixels at 128 pixels."""
    if group.kind in ("PUNCTATE", "ROUND_AND_REGULAR", "AMORPHOUS"):
        radius, value = {"PUNCTATE": (4, 0.8), "ROUND_AND_REGULAR": (7, 0.9), "AMORPHOUS": (8, 0.35)}[group.kind]
        cv2.circle(canvas, center, max(1, round(radius * scale)), value, -1)
    elif group.kind in ("COARSE", "PLEOMORPHIC"):
        low, high, value = ((10, 8), (17, 13), 1.0) if group.kind == "COARSE" else ((4, 2), (9, 6), rng.uniform(0.7, 1))
        axes = tuple(max(1, round(float(rng.uniform(a, b)) * scale)) for a, b in zip(low, high, strict=True))
        cv2.ellipse(canvas, center, axes, float(rng.uniform(0, 180)), 0, 360, value, -1)
    else:
        angle = group.angle + rng.uniform(-0.6, 0.6)
        length = rng.uniform(14, 26) * scale
        width = max(1, round(3 * scale))
        fork = _ahead(center, angle, length)
        cv2.line(canvas, center, fork, 1.0, width)
        cv2.line(canvas, fork, _ahead(fork, angle + rng.uniform(0.4, 0.9), 0.6 * length), 1.0, width)


def _ahead(start: tuple[int, int], angle: float, length: float) -> tuple[int, int]:
    return int(start[0] + length * np.cos(angle)), int(start[1] + length * np.sin(angle))
