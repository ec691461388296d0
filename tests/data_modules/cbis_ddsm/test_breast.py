from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from data_modules.cbis_ddsm.breast import CropBreast, find_breast
from data_modules.geometry import Window
from data_modules.images import read_image, read_mask


def _film(side: str, size: tuple[int, int] = (120, 100)) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """A breast of rows 30 to 89 and 50 columns at its chest wall, a label, background noise, and a bright lesion."""
    image = np.random.default_rng(0).uniform(0, 0.02, size).astype(np.float32)
    image[30:90, :50] = 0.4
    image[5:15, 70:95] = 1.0
    lesion = np.zeros(size, dtype=np.bool_)
    lesion[40:50, 20:36] = True
    image[lesion] = 0.9
    return (image, lesion) if side == "LEFT" else (image[:, ::-1].copy(), lesion[:, ::-1].copy())


Picture = NDArray[np.float32] | NDArray[np.bool_]


def cut(picture: Picture, window: Window) -> Picture:
    (y0, y1), (x0, x1) = window.rows, window.columns
    return picture[int(y0) : int(y1), int(x0) : int(x1)][:, :: -1 if window.flip else 1]


def crop(image: NDArray[np.float32], mask: NDArray[np.bool_], margin: float = 0.02) -> tuple[Picture, Picture]:
    processed, window = CropBreast(margin=margin)(image)
    return cut(processed, window), cut(mask, window)


@pytest.mark.parametrize("side", ["LEFT", "RIGHT"])
def test_crop_keeps_the_breast_and_turns_it_left(side: str) -> None:
    image, lesion = _film(side)
    cropped, mask = crop(image, lesion, 0.0)
    assert cropped.shape == mask.shape == (60, 50)
    np.testing.assert_array_equal(cropped > 0.8, mask)
    np.testing.assert_array_equal(np.flatnonzero(mask.any(axis=0)), np.arange(20, 36))
    np.testing.assert_array_equal(np.flatnonzero(mask.any(axis=1)), np.arange(10, 20))


def test_both_sides_give_the_same_picture() -> None:
    left, _ = crop(*_film("LEFT"))
    right, _ = crop(*_film("RIGHT"))
    assert left.shape == right.shape
    np.testing.assert_array_equal(left > 0.3, right > 0.3)


@pytest.mark.parametrize("side", ["LEFT", "RIGHT"])
def test_large_films_are_searched_at_low_resolution(side: str) -> None:
    image, lesion = _film(side)
    image, lesion = np.kron(image, np.ones((13, 13), np.float32)), np.kron(lesion, np.ones((13, 13), np.bool_))
    cropped, mask = crop(image, lesion, 0.0)
    assert abs(cropped.shape[0] - 60 * 13) <= 8
    assert abs(cropped.shape[1] - 50 * 13) <= 8
    np.testing.assert_array_equal(cropped > 0.8, mask)
    assert mask.sum() == lesion.sum()


def test_margin_stays_inside_the_image() -> None:
    image, lesion = _film("LEFT")
    cropped, _ = crop(image, lesion, 0.1)
    assert cropped.shape == (72, 55)
    cropped, _ = crop(image, lesion, 9.0)
    assert cropped.shape == image.shape


def test_blank_image_is_kept_whole() -> None:
    assert CropBreast()(np.zeros((40, 30), np.float32))[1] == Window((0, 40), (0, 30))


def test_real_mammograms(real_data: Path) -> None:
    # the breast fills most of these two pictures, and the lesion lies inside it
    for view in ("CC", "MLO"):
        stem = real_data / "cbis_ddsm_sample" / f"Mass-Training_P_00001_LEFT_{view}"
        image, _ = read_image(stem.with_name(f"{stem.name}_FULL.png"))
        mask = read_mask(stem.with_name(f"{stem.name}_MASK.png"))
        assert mask.any()
        assert find_breast(image, 0.05)[mask].all()
        cropped, kept = crop(image, mask)
        assert kept.sum() == mask.sum()
        assert cropped.size < image.size


@pytest.mark.parametrize(("threshold", "margin"), [(0.0, 0.0), (1.0, 0.0), (0.1, -0.1)])
def test_arguments_are_checked(threshold: float, margin: float) -> None:
    with pytest.raises(ValueError, match="Expected the"):
        CropBreast(threshold, margin)
