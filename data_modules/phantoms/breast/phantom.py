"""One mammogram with one lesion, its descriptors and its pathology."""

import math
from dataclasses import dataclass

import numpy as np

from data_modules.phantoms.breast.lesions import (
    Calcifications,
    Mass,
    draw_calcifications,
    draw_mass,
    project,
    sample_calcifications,
    sample_mass,
)
from data_modules.phantoms.primitives import (
    BoolImage,
    FloatImage,
    draw_lattice,
    min_region_pixels,
    pixel_grid,
    power,
    ridge,
    sigmoid,
    texture,
)

P_DENSITY = (0.15, 0.40, 0.33, 0.12)
P_SUBTLETY = (0.06, 0.12, 0.24, 0.30, 0.28)
# factor of the logit of malignancy, which sets how informative the descriptors are
LOGIT_SCALE = 1.6


@dataclass(frozen=True)
class Breast:
    """A breast, as its two views share it.

    Attributes:
        side: LEFT or RIGHT.
        density: 1 to 4.
        width: Extent from the chest wall.
        half_height: Half its extent along the chest wall.
    """

    side: str
    density: int
    width: float
    half_height: float


@dataclass(frozen=True)
class Mammogram:
    """One view of a breast with one lesion, with everything that is needed to draw it.

    Attributes:
        breast: The breast.
        view: CC or MLO.
        lesion: The lesion.
        x: Horizontal position of the lesion, before a right breast is mirrored.
        y: Vertical position.
        subtlety: 1 (subtle) to 5 (obvious); scales the contrast.
        lattices: Lattices of the fibroglandular texture, fine to coarse.
        exposure: Gamma, contrast and noise level.
        noise_seed: Seed of the noise.
    """

    breast: Breast
    view: str
    lesion: Mass | Calcifications
    x: float
    y: float
    subtlety: int
    lattices: tuple[FloatImage, FloatImage, FloatImage]
    exposure: tuple[float, float, float]
    noise_seed: int

    @property
    def center_y(self) -> float:
        """Vertical centre of the breast."""
        return 0.5 if self.view == "CC" else 0.55


@dataclass(frozen=True)
class Reading:
    """Results of the biopsy and the reader.

    Attributes:
        probability: Probability of malignancy given descriptors and density.
        malignant: Result of the biopsy.
        assessment: BI-RADS category of a noisy reader, 0 for incomplete.
        pathology: MALIGNANT, BENIGN or BENIGN_WITHOUT_CALLBACK.
    """

    probability: float
    malignant: bool
    assessment: int
    pathology: str


def sample_breast(rng: np.random.Generator) -> Breast:
    """Draw a breast."""
    side = "LEFT" if rng.random() < 0.5 else "RIGHT"
    density = int(rng.choice(4, p=P_DENSITY)) + 1
    return Breast(side, density, float(rng.uniform(0.58, 0.80)), float(rng.uniform(0.36, 0.45)))


def sample_mammogram(rng: np.random.Generator, breast: Breast, view: str, lesion: Mass | Calcifications) -> Mammogram:
    """Draw one view of a breast.

    Args:
        rng: Generator.
        breast: The breast.
        view: CC or MLO.
        lesion: The lesion; its position and projection are drawn here.
    """
    x, y = _sample_place(rng, breast, view)
    return Mammogram(
        breast=breast,
        view=view,
        lesion=project(rng, lesion),
        x=x,
        y=y,
        subtlety=int(rng.choice(5, p=P_SUBTLETY)) + 1,
        lattices=(draw_lattice(rng, 5), draw_lattice(rng, 10), draw_lattice(rng, 20)),
        exposure=(float(rng.uniform(0.85, 1.15)), float(rng.uniform(0.92, 1.08)), float(rng.uniform(0.008, 0.02))),
        noise_seed=int(rng.integers(2**32)),
    )


def sample_lesion(rng: np.random.Generator, mass_fraction: float) -> Mass | Calcifications:
    """Draw a mass or a cluster of calcifications."""
    return sample_mass(rng) if rng.random() < mass_fraction else sample_calcifications(rng)


def _sample_place(rng: np.random.Generator, breast: Breast, view: str) -> tuple[float, float]:
    """Draw a place inside the breast and, in an MLO view, outside the pectoral muscle."""
    center_y = 0.5 if view == "CC" else 0.55
    x = 0.3
    y = center_y
    # rejection sampling; the last place is taken if none was accepted
    for _ in range(200):
        x = float(rng.uniform(0.07, 0.62))
        y = float(rng.uniform(0.12, 0.90))
        level = (x / breast.width) ** 2.1 + (abs(y - center_y) / breast.half_height) ** 2.2
        # the edge that `_draw_tissue` draws, with a margin
        in_muscle = view == "MLO" and 0.36 - x * 1.05 - y * 0.62 > -0.07
        if level < 0.55 and not in_muscle:
            break
    return x, y


def read_mammogram(rng: np.random.Generator, lesion: Mass | Calcifications, density: int) -> Reading:
    """Draw pathology and BI-RADS of a lesion.

    The logit of malignancy is 1.6 times the sum of the weights of the descriptors and of the density. The reader sees
    the descriptors, not the biopsy, and adds noise.

    Args:
        rng: Generator.
        lesion: The lesion.
        density: Breast density, 1 to 4.
    """
    logit = LOGIT_SCALE * (lesion.weight + 0.25 * (density - 2.3))
    probability = 1 / (1 + math.exp(-logit))
    malignant = bool(rng.random() < probability)
    impression = logit + float(rng.normal(0, 0.7))
    assessment = 5 if impression > 2.2 else 4 if impression > -0.9 else 3 if impression > -2 else 2
    if rng.random() < 0.04:
        assessment = 0
    # a lesion rated as benign (2) is mostly not called back
    recalled = assessment != 2 or rng.random() >= 0.7
    pathology = "MALIGNANT" if malignant else "BENIGN" if recalled else "BENIGN_WITHOUT_CALLBACK"
    return Reading(probability, malignant, assessment, pathology)


def draw_mammogram(mammogram: Mammogram, size: int) -> tuple[FloatImage, BoolImage]:
    """Draw a mammogram.

    Args:
        mammogram: Its content.
        size: Side in pixels.

    Returns:
        Float32 (S, S) in [0, 1], and the region of the lesion, bool (S, S). A right breast is on the right of the
        image.
    """
    x, y = pixel_grid(size)
    breast = mammogram.breast
    # below 1 inside the breast, whose chest wall is at x = 0
    level = power(x / breast.width, 2.1) + power((y - mammogram.center_y) / breast.half_height, 2.2)
    inside = sigmoid((1 - level) * 14)
    image = _draw_tissue(mammogram, level, inside, size)
    contrast = 0.62 + 0.095 * mammogram.subtlety
    dx = x - mammogram.x
    dy = y - mammogram.y
    if isinstance(mammogram.lesion, Mass):
        added, region = draw_mass(mammogram.lesion, dx, dy)
        image = image + added * contrast * inside
    else:
        added, region = draw_calcifications(mammogram.lesion, mammogram.x, mammogram.y, size)
        image = image + added * contrast * (inside > 0.5)
        region &= inside > 0.5
    # a lesion too small to be outlined is annotated by a disc
    if np.count_nonzero(region) < min_region_pixels(size):
        region = dx**2 + dy**2 < 0.03**2
    image = _expose(image, mammogram)
    # everything is drawn with the chest wall on the left
    if breast.side == "RIGHT":
        image = image[:, ::-1]
        region = region[:, ::-1]
    return np.ascontiguousarray(image), np.ascontiguousarray(region)


def _draw_tissue(mammogram: Mammogram, level: FloatImage, inside: FloatImage, size: int) -> FloatImage:
    """Draw fat, fibroglandular tissue by density, the pectoral muscle of an MLO view, and the skin line."""
    x, y = pixel_grid(size)
    breast = mammogram.breast
    index = mammogram.breast.density - 1
    # glandular tissue lies behind the nipple
    cone = ridge((x - 0.30 * breast.width) / (0.38 * breast.width), 1.0)
    cone = cone * ridge((y - mammogram.center_y) / (0.60 * breast.half_height), 1.0)
    fine, middle, coarse = (texture(lattice, size) for lattice in mammogram.lattices)
    pattern = 0.55 * middle + 0.45 * fine + 0.3 * coarse + (-1.0, -0.35, 0.25, 0.85)[index] * 1.1
    gland = sigmoid(pattern * 2.2) * cone
    fat = 0.22 + 0.05 * np.clip(1 - level, 0, 1)
    image = 0.03 + inside * (fat + (0.14, 0.18, 0.22, 0.26)[index] * gland)
    if mammogram.view == "MLO":
        image = np.maximum(image, 0.03 + 0.52 * sigmoid((0.36 - x * 1.05 - y * 0.62) * 60))
    return image + 0.03 * ridge(level - 1, 0.03)


def _expose(image: FloatImage, mammogram: Mammogram) -> FloatImage:
    gamma, contrast, noise = mammogram.exposure
    generator = np.random.default_rng(mammogram.noise_seed)
    # one draw a pixel, so this alone changes with the size
    grain = generator.standard_normal(image.shape, dtype=np.float32)
    return np.clip(power(np.clip(image, 0, 1), gamma) * contrast + grain * noise, 0, 1).astype(np.float32)
