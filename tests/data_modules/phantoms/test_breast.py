from dataclasses import replace

import cv2
import numpy as np
import pytest

from data_modules.phantoms.breast.lesions import MARGIN_WEIGHT, SHAPE_WEIGHT, Calcifications, Mass, sample_mass
from data_modules.phantoms.breast.phantom import (
    LOGIT_SCALE,
    draw_mammogram,
    read_mammogram,
    sample_breast,
    sample_lesion,
    sample_mammogram,
)


def mammogram(seed: int, mass_fraction: float = 1.0):  # type: ignore[no-untyped-def]  # noqa: ANN201
    rng = np.random.default_rng(seed)
    breast = sample_breast(rng)
    return sample_mammogram(rng, breast, "CC", sample_lesion(rng, mass_fraction))


@pytest.mark.parametrize("mass_fraction", [0.0, 1.0])
@pytest.mark.parametrize("size", [64, 128])
def test_a_lesion_brightens_the_image_inside_its_region(size: int, mass_fraction: float) -> None:
    rises = []
    for seed in range(12):
        m = mammogram(seed, mass_fraction)
        image, region = draw_mammogram(m, size)
        assert image.shape == region.shape == (size, size)
        assert 0 <= image.min() <= image.max() <= 1
        ring = cv2.dilate(region.astype(np.uint8), np.ones((9, 9))).astype(bool) & ~region
        rises.append(image[region].mean() - image[ring].mean())
    assert np.mean(rises) > 0.02
    assert np.mean(np.array(rises) > 0) > 0.7


def test_a_right_breast_is_a_mirrored_left_breast() -> None:
    m = mammogram(0)
    left, right = (draw_mammogram(replace(m, breast=replace(m.breast, side=s)), 64) for s in ("LEFT", "RIGHT"))
    np.testing.assert_array_equal(left[0][:, ::-1], right[0])
    np.testing.assert_array_equal(left[1][:, ::-1], right[1])


def test_spicules_reach_beyond_the_mass() -> None:
    rng = np.random.default_rng(0)
    masses = [sample_mass(rng) for _ in range(400)]
    assert all(
        bool(m.spicules[1]) == (m.margins == "SPICULATED" or m.shape == "ARCHITECTURAL_DISTORTION") for m in masses
    )


def test_pathology_follows_the_logistic_model_of_the_descriptors() -> None:
    rng = np.random.default_rng(0)
    lesion = replace(sample_mass(rng), shape="IRREGULAR", margins="OBSCURED")
    logit = LOGIT_SCALE * (SHAPE_WEIGHT["IRREGULAR"] + MARGIN_WEIGHT["OBSCURED"] + 0.25 * (3 - 2.3))
    expected = 1 / (1 + np.exp(-logit))
    readings = [read_mammogram(rng, lesion, 3) for _ in range(2000)]
    assert readings[0].probability == pytest.approx(expected)
    assert np.mean([r.malignant for r in readings]) == pytest.approx(expected, abs=4 * np.sqrt(0.25 / 2000))


def test_only_benign_lesions_of_category_2_are_without_callback() -> None:
    rng = np.random.default_rng(1)
    for _ in range(500):
        reading = read_mammogram(rng, sample_lesion(rng, 0.5), 2)
        if reading.pathology == "BENIGN_WITHOUT_CALLBACK":
            assert reading.assessment == 2
        assert (reading.pathology == "MALIGNANT") == reading.malignant


@pytest.mark.parametrize("mass_fraction", [0.0, 1.0])
def test_another_view_shows_the_same_descriptors_and_another_outline(mass_fraction: float) -> None:
    rng = np.random.default_rng(0)
    breast, lesion = sample_breast(rng), sample_lesion(rng, mass_fraction)
    cc, mlo = (sample_mammogram(rng, breast, view, lesion).lesion for view in ("CC", "MLO"))
    assert cc.weight == mlo.weight == lesion.weight
    if isinstance(cc, Mass) and isinstance(mlo, Mass):
        assert (cc.shape, cc.margins, cc.radius, cc.density) == (mlo.shape, mlo.margins, mlo.radius, mlo.density)
        assert cc.phase != mlo.phase
    elif isinstance(cc, Calcifications) and isinstance(mlo, Calcifications):
        assert (cc.kind, cc.distribution, len(cc.offsets)) == (mlo.kind, mlo.distribution, len(mlo.offsets))
        assert not np.array_equal(cc.offsets, mlo.offsets)


def test_both_kinds_of_lesions_come_in_the_wanted_share() -> None:
    rng = np.random.default_rng(0)
    masses = [isinstance(sample_lesion(rng, 0.3), Mass) for _ in range(1000)]
    assert np.mean(masses) == pytest.approx(0.3, abs=0.06)
