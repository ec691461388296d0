"""The healthy chest: body, two lungs with vessels, ribs and clavicles.

Lengths are fractions of the image side. The image shows the patient from the front: the patient's right lung is on the
left of the image. Everything random is sampled first into frozen records; rendering them is deterministic.
"""

import math
from dataclasses import dataclass

import numpy as np

from data_modules.phantoms.primitives import (
    FloatImage,
    draw_lattice,
    pixel_grid,
    power,
    ridge,
    sigmoid,
    texture,
)

RIGHT = 0
LEFT = 1
SIDE_NAMES = ("right", "left")
NUM_RIBS = 8


@dataclass(frozen=True)
class Lung:
    """One lung field.

    Attributes:
        direction: -1 for the patient's right lung, +1 for the left: where the lateral chest wall lies in the image.
        center_x: Horizontal centre.
        half_width: Half the width at the base.
        base_y: Height of the diaphragm, before its dome is added.
    """

    direction: int
    center_x: float
    half_width: float
    base_y: float


@dataclass(frozen=True)
class Thorax:
    """Everything random about a chest apart from its heart and its findings.

    Attributes:
        tilt: Rotation of the patient in the image plane, in radians.
        midline: Horizontal position of the spine.
        lung_width: Half the mean width of a lung.
        lung_height: Half the height of a lung.
        lung_y: Vertical centre of the lungs.
        lung_offset: Distance of a lung's centre from the midline.
        lungs: Right and left lung.
        parenchyma: Grey level of aerated lung.
        fine_vessels: Lattice of the fine vessel texture.
        coarse_vessels: Lattice of the coarse vessel texture.
    """

    tilt: float
    midline: float
    lung_width: float
    lung_height: float
    lung_y: float
    lung_offset: float
    lungs: tuple[Lung, Lung]
    parenchyma: float
    fine_vessels: FloatImage
    coarse_vessels: FloatImage

    @property
    def apex_y(self) -> float:
        """Height of the lung apices."""
        return self.lung_y - self.lung_height


@dataclass(frozen=True)
class ChestFields:
    """A thorax on a pixel grid.

    Attributes:
        x: Horizontal coordinate in the patient's tilted frame, float32 (S, S).
        y: Vertical coordinate, float32 (S, S).
        body: Soft mask of the body in [0, 1].
        lungs: Soft masks of the right and the left lung.
        lung: Soft mask of both.
    """

    x: FloatImage
    y: FloatImage
    body: FloatImage
    lungs: tuple[FloatImage, FloatImage]
    lung: FloatImage


def sample_thorax(rng: np.random.Generator, tilt: float) -> Thorax:
    """Draw the anatomy of one patient.

    Args:
        rng: Generator.
        tilt: Rotation of the patient, in radians.

    Returns:
        The anatomy.
    """
    midline = float(rng.normal(0.5, 0.015))
    width = float(rng.normal(0.168, 0.010))
    height = float(rng.normal(0.34, 0.018))
    center_y = float(rng.normal(0.46, 0.015))
    offset = width + float(rng.uniform(0.035, 0.055))
    lungs = tuple(_sample_lung(rng, side, midline, width, offset, center_y, height) for side in (RIGHT, LEFT))
    return Thorax(
        tilt=tilt,
        midline=midline,
        lung_width=width,
        lung_height=height,
        lung_y=center_y,
        lung_offset=offset,
        lungs=(lungs[RIGHT], lungs[LEFT]),
        parenchyma=float(rng.uniform(0.17, 0.24)),
        fine_vessels=draw_lattice(rng, 5),
        coarse_vessels=draw_lattice(rng, 10),
    )


def _sample_lung(
    rng: np.random.Generator, side: int, midline: float, width: float, offset: float, center_y: float, height: float
) -> Lung:
    direction = -1 if side == RIGHT else 1
    half_width = width * float(rng.uniform(0.95, 1.05))
    # the liver lifts the right diaphragm
    liver = 0.02 if side == RIGHT else 0.0
    base_y = center_y + height * float(rng.uniform(0.80, 0.90)) - liver
    return Lung(direction, midline + direction * offset, half_width, base_y)


def chest_fields(thorax: Thorax, size: int) -> ChestFields:
    """Lay a thorax on a pixel grid.

    Args:
        thorax: The anatomy.
        size: Side of the image in pixels.

    Returns:
        Coordinates and soft masks.
    """
    grid_x, grid_y = pixel_grid(size)
    cosine = math.cos(thorax.tilt)
    sine = math.sin(thorax.tilt)
    # rotate the grid rather than the patient
    x = 0.5 + (grid_x - 0.5) * cosine - (grid_y - 0.5) * sine
    y = 0.5 + (grid_x - 0.5) * sine + (grid_y - 0.5) * cosine
    body = sigmoid((1 - power((x - thorax.midline) / 0.47, 3) - power((y - 0.62) / 0.66, 3)) * 12)
    right, left = (_lung_mask(thorax, lung, x, y) for lung in thorax.lungs)
    return ChestFields(x, y, body, (right, left), np.maximum(right, left))


def lung_level(thorax: Thorax, lung: Lung, x: FloatImage, y: FloatImage) -> FloatImage:
    """Level function of a lung's outline: below 1 inside, above 1 outside.

    Args:
        thorax: The anatomy.
        lung: The lung.
        x: Horizontal coordinate, float32 (S, S).
        y: Vertical coordinate, float32 (S, S).

    Returns:
        Float32 (S, S), not negative.
    """
    across = power((x - lung.center_x) / lung_width_at(thorax, lung, y), 2.2)
    return across + power((y - thorax.lung_y) / thorax.lung_height, 2.6)


def lung_width_at(thorax: Thorax, lung: Lung, y: FloatImage) -> FloatImage:
    """Half the width of a lung, which narrows towards the apex.

    Args:
        thorax: The anatomy.
        lung: The lung.
        y: Vertical coordinate, float32 (S, S).

    Returns:
        Float32 (S, S).
    """
    width: FloatImage = lung.half_width * (0.72 + 0.28 * np.clip((y - thorax.apex_y) / 0.45, 0, 1))
    return width


def _lung_mask(thorax: Thorax, lung: Lung, x: FloatImage, y: FloatImage) -> FloatImage:
    # the diaphragm is highest below the centre of the lung
    dome = lung.base_y + 0.07 * ((x - lung.center_x) / lung.half_width) ** 2 - 0.03
    return sigmoid((1 - lung_level(thorax, lung, x, y)) * 14) * sigmoid((dome - y) * 110)


def draw_parenchyma(thorax: Thorax, fields: ChestFields) -> FloatImage:
    """Grey levels of the lungs: air, vessels and hila.

    Args:
        thorax: The anatomy.
        fields: The anatomy on the grid.

    Returns:
        Float32 (S, S).
    """
    size = fields.x.shape[0]
    vessels = (texture(thorax.fine_vessels, size) + texture(thorax.coarse_vessels, size)) * (0.6 * 0.022)
    hila = ridge(np.abs(fields.x - thorax.midline) - 0.09, math.sqrt(0.008)) * ridge(
        fields.y - thorax.lung_y, math.sqrt(0.02)
    )
    return thorax.parenchyma + vessels + 0.10 * hila


def draw_bones(thorax: Thorax, fields: ChestFields) -> FloatImage:
    """Grey levels that ribs and clavicles add.

    Args:
        thorax: The anatomy.
        fields: The anatomy on the grid.

    Returns:
        Float32 (S, S), not negative.
    """
    # 0 at the spine, 1 at the chest wall: ribs slope downwards to the side
    lateral = np.abs(fields.x - thorax.midline) / (thorax.lung_offset + thorax.lung_width)
    slope = fields.y - (thorax.apex_y + 0.02 + 0.09 * lateral**2)
    ribs = np.zeros_like(fields.x)
    for rib in range(NUM_RIBS):
        ribs += ridge(slope - 0.078 * rib, 0.009)
    clavicles = ridge(fields.y - (thorax.apex_y + 0.06 - 0.10 * (lateral - 0.3)), 0.011)
    on_ribs = (lateral > 0.18) & (lateral < 1.08)
    on_clavicles = (lateral > 0.15) & (lateral < 1.0)
    bones: FloatImage = 0.055 * ribs * on_ribs + 0.09 * clavicles * on_clavicles
    return bones
