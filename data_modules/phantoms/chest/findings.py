"""The findings in the lungs and the pleura, each with a record of its properties and a function that draws it.

Cardiomegaly is a property of the heart; see `heart`. Lengths are fractions of the image side.
"""

from dataclasses import dataclass

import numpy as np

from data_modules.phantoms.chest.anatomy import (
    LEFT,
    RIGHT,
    SIDE_NAMES,
    ChestFields,
    Thorax,
    lung_level,
    lung_width_at,
)
from data_modules.phantoms.primitives import (
    BoolImage,
    FloatImage,
    draw_lattice,
    power,
    ridge,
    sigmoid,
    texture,
)

ZONE_NAMES = ("upper", "mid", "lower")
# height of the centres of the zones, from apex to base
ZONE_HEIGHTS = (0.24, 0.47, 0.70)
P_BILATERAL_EFFUSION = 0.2


@dataclass(frozen=True)
class Pneumothorax:
    """Air around a lung that retracts towards its hilum.

    Attributes:
        side: The patient's side.
        collapse: Share by which the lung has retracted, .18 to .40.
    """

    side: int
    collapse: float

    @property
    def size(self) -> str:
        """Size in words."""
        return "small" if self.collapse < 0.25 else "moderate" if self.collapse < 0.33 else "large"


@dataclass(frozen=True)
class Consolidation:
    """A textured, blurred opacity.

    Attributes:
        side: The patient's side.
        zone: Upper, mid or lower zone.
        x: Centre.
        y: Centre.
        radii: Horizontal and vertical radius.
        outline: Lattice that deforms the outline.
        density: Grey level that is added.
        grain: Lattice of the texture.
    """

    side: int
    zone: int
    x: float
    y: float
    radii: tuple[float, float]
    outline: FloatImage
    density: float
    grain: FloatImage


@dataclass(frozen=True)
class LungLesion:
    """A round, sharply bounded nodule.

    Attributes:
        side: The patient's side.
        zone: Upper, mid or lower zone.
        x: Centre.
        y: Centre.
        radius: Radius.
        density: Grey level that is added.
    """

    side: int
    zone: int
    x: float
    y: float
    radius: float
    density: float


@dataclass(frozen=True)
class PleuralEffusion:
    """Fluid above the diaphragm with a meniscus at the chest wall.

    Attributes:
        sides: One side of the patient, or both.
        level: Height of the fluid, as a share of the lung.
    """

    sides: tuple[int, ...]
    level: float

    @property
    def size(self) -> str:
        """Size in words."""
        return "small" if self.level < 0.22 else "moderate" if self.level < 0.30 else "large"

    @property
    def side_name(self) -> str:
        """Side in words."""
        return "bilateral" if len(self.sides) > 1 else SIDE_NAMES[self.sides[0]]


def sample_side(rng: np.random.Generator) -> int:
    """Draw a side of the patient.

    Args:
        rng: Generator.

    Returns:
        `LEFT` or `RIGHT`.
    """
    return LEFT if rng.random() < 0.5 else RIGHT


def sample_pneumothorax(rng: np.random.Generator) -> Pneumothorax:
    """Draw a pneumothorax."""
    return Pneumothorax(sample_side(rng), float(rng.uniform(0.18, 0.40)))


def sample_consolidation(rng: np.random.Generator, thorax: Thorax) -> Consolidation:
    """Draw a consolidation in one of six zones."""
    side, zone, x, y = _sample_place(rng, thorax, 0.05, 0.35)
    radius_x, radius_y = (float(radius) for radius in rng.uniform(0.060, 0.100, 2))
    outline = draw_lattice(rng, 10)
    density = float(rng.uniform(0.22, 0.34))
    return Consolidation(side, zone, x, y, (radius_x, radius_y), outline, density, draw_lattice(rng, 4))


def sample_lung_lesion(rng: np.random.Generator, thorax: Thorax) -> LungLesion:
    """Draw a nodule in one of six zones."""
    side, zone, x, y = _sample_place(rng, thorax, 0.06, 0.5)
    return LungLesion(side, zone, x, y, float(rng.uniform(0.028, 0.044)), float(rng.uniform(0.34, 0.46)))


def sample_pleural_effusion(rng: np.random.Generator) -> PleuralEffusion:
    """Draw an effusion, on both sides in a fifth of the cases."""
    sides = (RIGHT, LEFT) if rng.random() < P_BILATERAL_EFFUSION else (sample_side(rng),)
    return PleuralEffusion(sides, float(rng.uniform(0.16, 0.36)))


def _sample_place(
    rng: np.random.Generator, thorax: Thorax, spread_y: float, spread_x: float
) -> tuple[int, int, float, float]:
    side = sample_side(rng)
    zone = int(rng.integers(len(ZONE_HEIGHTS)))
    height = ZONE_HEIGHTS[zone] + float(rng.uniform(-spread_y, spread_y))
    lung = thorax.lungs[side]
    x = lung.center_x + lung.half_width * float(rng.uniform(-spread_x, spread_x))
    return side, zone, x, thorax.apex_y + 2 * thorax.lung_height * height


def draw_pneumothorax(
    finding: Pneumothorax, parenchyma: FloatImage, thorax: Thorax, fields: ChestFields
) -> tuple[FloatImage, BoolImage]:
    """Darken the rim around a retracted lung and draw the visceral pleural line.

    Args:
        finding: The pneumothorax.
        parenchyma: Grey levels of the lungs, float32 (S, S).
        thorax: The anatomy.
        fields: The anatomy on the grid.

    Returns:
        New grey levels of the lungs, and the region of free air, bool (S, S).
    """
    lung = thorax.lungs[finding.side]
    hilum_x = thorax.midline + lung.direction * 0.07
    hilum_y = thorax.lung_y + 0.45 * thorax.lung_height
    # The retracted lung is the whole lung scaled about its hilum, less in width than in height.
    x = hilum_x + (fields.x - hilum_x) / (1 - 0.8 * finding.collapse)
    y = hilum_y + (fields.y - hilum_y) / (1 - finding.collapse)
    level = lung_level(thorax, lung, x, y)
    # Air rises: only the apical part is free.
    apical = fields.lungs[finding.side] * sigmoid((thorax.lung_y + 0.25 * thorax.lung_height - fields.y) * 40)
    rim = apical * (1 - sigmoid((1 - level) * 16))
    pleural_line = ridge(level - 1, 0.10) * apical
    drawn = parenchyma * (1 - 0.85 * rim) + (0.03 * 0.85) * rim + 0.16 * pleural_line
    return drawn, rim > 0.5


def draw_consolidation(finding: Consolidation, fields: ChestFields) -> tuple[FloatImage, BoolImage]:
    """Grey levels that a consolidation adds to the lungs.

    Args:
        finding: The consolidation.
        fields: The anatomy on the grid.

    Returns:
        Float32 (S, S) and the region, bool (S, S).
    """
    size = fields.x.shape[0]
    radius_x, radius_y = finding.radii
    level = ((fields.x - finding.x) / radius_x) ** 2 + ((fields.y - finding.y) / radius_y) ** 2
    region = sigmoid((1 - level + 0.25 * texture(finding.outline, size)) * 5) * fields.lung
    return finding.density * region * (1 + 0.18 * texture(finding.grain, size)), region > 0.5


def draw_lung_lesion(finding: LungLesion, fields: ChestFields) -> tuple[FloatImage, BoolImage]:
    """Grey levels that a nodule adds to the lungs.

    Args:
        finding: The nodule.
        fields: The anatomy on the grid.

    Returns:
        Float32 (S, S) and the region, bool (S, S).
    """
    distance = np.sqrt((fields.x - finding.x) ** 2 + (fields.y - finding.y) ** 2) / finding.radius
    return finding.density * sigmoid((1 - distance) * 12), distance < 1.15


def draw_pleural_effusion(
    finding: PleuralEffusion, image: FloatImage, heart_region: FloatImage, thorax: Thorax, fields: ChestFields
) -> tuple[FloatImage, BoolImage]:
    """Draw fluid over lungs and diaphragm.

    Args:
        finding: The effusion.
        image: Float32 (S, S).
        heart_region: Soft mask of the heart, which hides the fluid behind it.
        thorax: The anatomy.
        fields: The anatomy on the grid.

    Returns:
        A new image, and the visible region, bool (S, S).
    """
    fluid = np.zeros_like(fields.x)
    # the heart hides fluid behind it in the region, but not in the image
    for side in finding.sides:
        fluid = np.maximum(fluid, _fluid_mask(finding.level, side, thorax, fields))
    return image + (0.58 - image) * fluid * 0.9, fluid * (1 - 0.6 * heart_region) > 0.5


def _fluid_mask(fluid_level: float, side: int, thorax: Thorax, fields: ChestFields) -> FloatImage:
    lung = thorax.lungs[side]
    across = fields.x - lung.center_x
    lateral = np.clip(across / lung.half_width * lung.direction, 0, 1)
    # the meniscus: fluid stands higher at the lateral wall
    surface = lung.base_y - fluid_level * 1.5 * thorax.lung_height * (0.80 + 0.30 * lateral**2)
    outline = power(across / lung_width_at(thorax, lung, fields.y), 2.2)
    above_diaphragm = sigmoid((lung.base_y + 0.06 - fields.y) * 110)
    return sigmoid((fields.y - surface) * 110) * sigmoid((1 - outline) * 14) * above_diaphragm
