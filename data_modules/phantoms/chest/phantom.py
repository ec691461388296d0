"""Synthetic chest radiographs with findings at known places.

A `ChestScene` holds everything random about one radiograph, independent of resolution, and `render_chest` draws it. So the
same patient can be drawn at another size, or without a finding (`dataclasses.replace(scene, lesion=None)`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from data_modules.phantoms.chest.anatomy import (
    ChestFields,
    Thorax,
    chest_fields,
    draw_bones,
    draw_parenchyma,
    sample_thorax,
)
from data_modules.phantoms.chest.findings import (
    Consolidation,
    LungLesion,
    PleuralEffusion,
    Pneumothorax,
    draw_consolidation,
    draw_lung_lesion,
    draw_pleural_effusion,
    draw_pneumothorax,
    sample_consolidation,
    sample_lung_lesion,
    sample_pleural_effusion,
    sample_pneumothorax,
)
from data_modules.phantoms.chest.heart import Heart, draw_mediastinum, heart_mask, sample_heart
from data_modules.phantoms.chest.shortcuts import (
    EVALUATION_RATES,
    TRAINING_RATES,
    ChestDrain,
    CornerMarker,
    draw_chest_drain,
    draw_corner_marker,
    draw_side_letter,
    sample_chest_drain,
    sample_corner_marker,
)
from data_modules.phantoms.primitives import BoolImage, Box, FloatImage, bounding_box

Split = Literal["train", "validate", "test"]
# as CheXpert spells them
FINDINGS = ("Cardiomegaly", "Consolidation", "Lung Lesion", "Pleural Effusion", "Pneumothorax")
PREVALENCE = (0.22, 0.25, 0.22, 0.25, 0.22)


@dataclass(frozen=True)
class Exposure:
    """Exposure and noise of the image.

    Attributes:
        gamma: Exponent of the film's response.
        contrast: Factor about middle grey.
        brightness: Grey level that is added.
        noise: Standard deviation of the pixel noise.
        noise_seed: Seed of the pixel noise, which alone depends on the resolution.
    """

    gamma: float
    contrast: float
    brightness: float
    noise: float
    noise_seed: int


@dataclass(frozen=True)
class ChestScene:
    """Everything random about one radiograph.

    Attributes:
        thorax: The patient.
        heart: The heart, enlarged or not.
        consolidation: The consolidation, if there is one.
        lesion: The nodule, if there is one.
        effusion: The pleural effusion, if there is one.
        pneumothorax: The pneumothorax, if there is one.
        drain: The chest drain, if there is one.
        marker: The corner marker, if there is one.
        exposure: How the image was taken.
    """

    thorax: Thorax
    heart: Heart
    consolidation: Consolidation | None
    lesion: LungLesion | None
    effusion: PleuralEffusion | None
    pneumothorax: Pneumothorax | None
    drain: ChestDrain | None
    marker: CornerMarker | None
    exposure: Exposure

    @property
    def present(self) -> NDArray[np.bool_]:
        """The true findings, bool (5,), in the order of `FINDINGS`."""
        inner = (self.consolidation, self.lesion, self.effusion, self.pneumothorax)
        return np.array([self.heart.enlarged, *(finding is not None for finding in inner)])


@dataclass(frozen=True)
class ChestImage:
    """A drawn radiograph.

    Attributes:
        pixels: Uint8 (S, S).
        masks: The region of each finding that is there, bool (S, S).
        midline: Column of the spine, which divides bilateral regions.
    """

    pixels: NDArray[np.uint8]
    masks: Mapping[str, BoolImage]
    midline: int


def sample_chest_scene(rng: np.random.Generator, split: Split) -> ChestScene:
    """Draw one radiograph's content.

    Args:
        rng: Generator.
        split: Drain and marker go with findings in "train" only.

    Returns:
        The scene.
    """
    # the order of all draws below is part of the phantoms, see `GENERATOR_VERSION`
    rates = TRAINING_RATES if split == "train" else EVALUATION_RATES
    tilt = float(np.deg2rad(rng.normal(0, 2.5)))
    present = dict(zip(FINDINGS, (rng.random(len(FINDINGS)) < PREVALENCE).tolist(), strict=True))
    thorax = sample_thorax(rng, tilt)
    pneumothorax = sample_pneumothorax(rng) if present["Pneumothorax"] else None
    consolidation = sample_consolidation(rng, thorax) if present["Consolidation"] else None
    lesion = sample_lung_lesion(rng, thorax) if present["Lung Lesion"] else None
    heart = sample_heart(rng, present["Cardiomegaly"])
    effusion = sample_pleural_effusion(rng) if present["Pleural Effusion"] else None
    drain = sample_chest_drain(rng, rates, pneumothorax)
    marker = sample_corner_marker(rng, rates, effusion is not None)
    exposure = _sample_exposure(rng)
    return ChestScene(thorax, heart, consolidation, lesion, effusion, pneumothorax, drain, marker, exposure)


def _sample_exposure(rng: np.random.Generator) -> Exposure:
    gamma = float(rng.uniform(0.82, 1.22))
    contrast = float(rng.uniform(0.88, 1.12))
    brightness = float(rng.normal(0, 0.03))
    noise = float(rng.uniform(0.012, 0.03))
    return Exposure(gamma, contrast, brightness, noise, int(rng.integers(2**32)))


def render_chest(scene: ChestScene, size: int) -> ChestImage:
    """Draw a radiograph.

    Args:
        scene: Its content.
        size: Side of the image in pixels.

    Returns:
        The image and the regions of its findings.
    """
    thorax = scene.thorax
    fields = chest_fields(scene.thorax, size)
    masks: dict[str, BoolImage] = {}
    # from back to front: lungs and bones, mediastinum, fluid, and then devices
    parenchyma = _draw_lungs(scene, fields, masks)
    image: FloatImage = (
        (0.05 + 0.50 * fields.body) * (1 - fields.lung) + parenchyma * fields.lung + draw_bones(thorax, fields)
    )
    heart = heart_mask(scene.heart, thorax, fields)
    image = draw_mediastinum(image, scene.heart, heart, thorax, fields)
    if scene.heart.enlarged:
        masks["Cardiomegaly"] = heart > 0.5
    if scene.effusion:
        image, masks["Pleural Effusion"] = draw_pleural_effusion(scene.effusion, image, heart, thorax, fields)
    if scene.drain:
        image = image + draw_chest_drain(scene.drain, thorax, size)
    if scene.marker:
        draw_corner_marker(scene.marker, image)
    draw_side_letter(image)
    return ChestImage(_expose(image, scene.exposure), masks, int(thorax.midline * size))


def _draw_lungs(scene: ChestScene, fields: ChestFields, masks: dict[str, BoolImage]) -> FloatImage:
    parenchyma = draw_parenchyma(scene.thorax, fields)
    if scene.pneumothorax:
        parenchyma, masks["Pneumothorax"] = draw_pneumothorax(scene.pneumothorax, parenchyma, scene.thorax, fields)
    if scene.consolidation:
        opacity, masks["Consolidation"] = draw_consolidation(scene.consolidation, fields)
        parenchyma = parenchyma + opacity
    if scene.lesion:
        opacity, masks["Lung Lesion"] = draw_lung_lesion(scene.lesion, fields)
        parenchyma = parenchyma + opacity
    return parenchyma


def _expose(image: FloatImage, exposure: Exposure) -> NDArray[np.uint8]:
    noise = np.random.default_rng(exposure.noise_seed).standard_normal(image.shape, dtype=np.float32)
    image = np.clip(image, 0, 1) ** np.float32(exposure.gamma)
    image = (image - 0.5) * exposure.contrast + (0.5 + exposure.brightness) + noise * exposure.noise
    return (np.clip(image, 0, 1) * 255).astype(np.uint8)


def finding_boxes(image: ChestImage, scene: ChestScene) -> list[tuple[str, Box]]:
    """Boxes around the findings of a radiograph, as a radiologist would draw them.

    Args:
        image: The drawn radiograph.
        scene: Its content.

    Returns:
        Finding and box in pixels; two boxes for a bilateral effusion, none for a region too small to be seen.
    """
    boxes = []
    for finding in FINDINGS:
        if finding not in image.masks:
            continue
        mask = image.masks[finding]
        bilateral = finding == "Pleural Effusion" and scene.effusion is not None and len(scene.effusion.sides) > 1
        regions = _halves(mask, image.midline) if bilateral else (mask,)
        boxes += [(finding, box) for box in map(bounding_box, regions) if box is not None]
    return boxes


def _halves(mask: BoolImage, column: int) -> tuple[BoolImage, BoolImage]:
    left = mask.copy()
    right = mask.copy()
    left[:, column:] = False
    right[:, :column] = False
    return left, right
