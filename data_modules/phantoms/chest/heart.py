"""Heart, mediastinum and spine. Lengths are fractions of the image side, or of the thorax where they are ratios."""

from dataclasses import dataclass

import numpy as np

from data_modules.phantoms.chest.anatomy import ChestFields, Thorax
from data_modules.phantoms.primitives import FloatImage, ridge, sigmoid

# cosine and sine of the heart's axis, 25 degrees below the horizontal
HEART_AXIS = (0.9063, 0.4226)
# Cardiothoracic ratio from which a heart is enlarged, and its range
ENLARGED_RATIO = (0.57, 0.68)
NORMAL_RATIO = (0.38, 0.49)


@dataclass(frozen=True)
class Heart:
    """Heart and mediastinum.

    Attributes:
        enlarged: Whether there is cardiomegaly.
        ratio: Cardiothoracic ratio.
        roundness: Height of the heart divided by its width.
        mediastinum_width: Half the width of the mediastinum.
    """

    enlarged: bool
    ratio: float
    roundness: float
    mediastinum_width: float

    @property
    def degree(self) -> str:
        """Degree of the enlargement in words."""
        return "mildly" if self.ratio < 0.60 else "moderately" if self.ratio < 0.64 else "markedly"


def sample_heart(rng: np.random.Generator, enlarged: bool) -> Heart:
    """Draw a heart.

    Args:
        rng: Generator.
        enlarged: Whether there is cardiomegaly.

    Returns:
        The heart.
    """
    ratio = float(rng.uniform(*ENLARGED_RATIO) if enlarged else np.clip(rng.normal(0.44, 0.025), *NORMAL_RATIO))
    return Heart(enlarged, ratio, float(rng.uniform(0.80, 0.92)), float(rng.uniform(0.045, 0.065)))


def heart_mask(heart: Heart, thorax: Thorax, fields: ChestFields) -> FloatImage:
    """Soft mask of the heart.

    Args:
        heart: The heart.
        thorax: The anatomy.
        fields: The anatomy on the grid.

    Returns:
        Float32 (S, S) in [0, 1].
    """
    # half the width of the thorax times the cardiothoracic ratio
    half_width = heart.ratio * (thorax.lung_offset + thorax.lung_width)
    # most of the heart lies on the patient's left, the right of the image
    right = fields.x - (thorax.midline + 0.20 * half_width)
    down = fields.y - (thorax.lung_y + 0.60 * thorax.lung_height + 0.02)
    cosine, sine = HEART_AXIS
    along = (right * cosine + down * sine) / half_width
    across = (down * cosine - right * sine) / (half_width * heart.roundness)
    return sigmoid((1 - along**2 - across**2) * 9)


def draw_mediastinum(
    image: FloatImage, heart: Heart, heart_region: FloatImage, thorax: Thorax, fields: ChestFields
) -> FloatImage:
    """Draw heart, mediastinum and spine over an image.

    Args:
        image: Float32 (S, S).
        heart: The heart.
        heart_region: Soft mask of the heart.
        thorax: The anatomy.
        fields: The anatomy on the grid.

    Returns:
        A new image, float32 (S, S).
    """
    from_midline = fields.x - thorax.midline
    wall = heart.mediastinum_width - np.abs(from_midline) + 0.015 * np.sin(fields.y * 9)
    dense = np.maximum(heart_region, sigmoid(wall * 90) * fields.body) * 0.92
    drawn: FloatImage = image + (0.62 - image) * dense + 0.05 * ridge(from_midline, 0.02) * fields.body
    return drawn
