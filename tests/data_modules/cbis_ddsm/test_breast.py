from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from data_modules.cbis_ddsm.breast import PrepareBreast, find_breast
from data_modules.images.geometry import Window
from data_modules.images.image_file import read_image, read_mask
from data_modules.images.mask_regions import MaskRegion
from data_modules.images.preparation import Preparation
from data_modules.images.regions import Roi, draw_roi


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
    processed, window = PrepareBreast(margin=margin)(image)
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
    assert PrepareBreast()(np.zeros((40, 30), np.float32))[1] == Window((0, 40), (0, 30))


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
        PrepareBreast(threshold, margin)


ALL = slice(None)
BORDERS = {
    "left": (ALL, slice(4)),
    "right": (ALL, slice(-4, None)),
    "top": (slice(4), ALL),
    "bottom": (slice(-4, None), ALL),
}


@pytest.mark.parametrize("sides", [["left"], ["right"], ["top", "bottom"], ["left", "right", "top", "bottom"]])
def test_a_white_film_border_does_not_join_the_breast(sides: list[str]) -> None:
    image, lesion = _film("LEFT")
    for side in sides:
        image[BORDERS[side]] = 1.0
    cropped, mask = crop(image, lesion, 0.0)
    # the border and one line of mixture beside it are gone
    assert cropped.shape == (60, 45 if "left" in sides else 50)
    np.testing.assert_array_equal(np.flatnonzero(mask.any(axis=1)), np.arange(10, 20))
    np.testing.assert_array_equal(cropped[mask.astype(bool)] > 0.8, True)


def test_a_bright_breast_at_its_chest_wall_is_no_border() -> None:
    image = np.zeros((120, 100), np.float32)
    image[20:100, :40] = 0.97  # so dense that it is white, but not along the whole edge
    assert find_breast(image, 0.05)[25:95, 2:38].all()


def test_grey_values_are_windowed_inside_the_breast() -> None:
    image, _ = _film("LEFT")
    image[30:90, :50] = np.linspace(0.3, 0.5, 50, dtype=np.float32)
    windowed, window = PrepareBreast(window_percentiles=(0.0, 100.0), margin=0.0)(image)
    assert (window.rows, window.columns) == ((30, 90), (0, 50))
    inside = windowed[30:90, :50]
    assert (inside.min(), inside.max()) == (0, 1)
    np.testing.assert_allclose(inside[0], np.linspace(0, 1, 50), atol=1e-5)
    assert windowed[5:15, 70:95].min() == 1  # the label is brighter than all tissue, and is clipped


@pytest.mark.parametrize("side", ["LEFT", "RIGHT"])
def test_labels_scratches_and_background_are_removed_and_the_lesion_stays(side: str, tmp_path: Path) -> None:
    image, lesion = _film(side)
    image[2:118, 60 if side == "LEFT" else 40] = 0.8  # a scratch of one pixel
    cleaned, _ = PrepareBreast(remove_background=True, crop=False)(image)
    breast = find_breast(image, 0.05)
    assert cleaned[lesion].min() == np.float32(0.9)
    outside = ~np.asarray(cv2.dilate(breast.astype(np.uint8), np.ones((5, 5), np.uint8)), bool)
    assert cleaned[outside].max() == 0
    # through the whole chain, the region lies on the lesion
    Image.fromarray(np.rint(image * 255).astype(np.uint8)).save(tmp_path / "film.png")
    Image.fromarray(lesion).save(tmp_path / "mask.png")
    prepare = PrepareBreast(remove_background=True, window_percentiles=(1, 99))
    placed, placement = Preparation(60, "pad", preprocess=prepare)(tmp_path / "film.png")
    region = draw_roi(Roi(0, (MaskRegion(tmp_path / "mask.png"),)), placement)
    assert region.sum() > 100
    assert ((placed > 0.5) ^ region).sum() <= 0.1 * region.sum()


@pytest.mark.parametrize("percentiles", [(5.0, 5.0), (-1.0, 50.0), (0.0, 101.0)])
def test_a_window_needs_two_rising_percentiles(percentiles: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="two rising percentiles"):
        PrepareBreast(window_percentiles=percentiles)
