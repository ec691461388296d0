"""Images that are dark, and masks that are inverted or the image itself."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from data_modules.images.mask_regions import MaskRegion
from data_modules.images.regions import BoxRegion, Region, Roi
from data_modules.split import Split
from tests.data_modules.checks.given import check, check_declared, only, problem


def with_region(splits: dict[str, Split], region: Region) -> dict[str, Split]:
    """Give a positive validation image one region, and no other image any."""
    val = splits["val"]
    row = int(np.flatnonzero(val.label[:, 0] == 1)[0])
    return splits | {"val": replace(val, rois={row: (Roi(0, (region,)),)})}


@pytest.mark.parametrize(("width", "is_found"), [(15.0, False), (18.0, True)])
def test_a_region_over_more_than_half_of_the_image_is_pointed_out(
    splits: dict[str, Split], width: float, is_found: bool
) -> None:
    report = check(with_region(splits, BoxRegion((0, 0, width, 32))), 0)
    assert bool(report.problems) == is_found
    if is_found:
        assert problem(report) == ("warning", "regions", "val", 1)
        assert "inverted" in only(report).message


@pytest.mark.parametrize("suffix", ["png", "bmp"])
def test_a_mask_that_is_its_image_is_pointed_out(splits: dict[str, Split], tmp_path: Path, suffix: str) -> None:
    val = splits["val"]
    row = int(np.flatnonzero(val.label[:, 0] == 1)[0])
    copy = tmp_path / f"copy.{suffix}"
    Image.open(val.image[row]).save(copy)
    for path in (val.image[row], copy):
        report = check(with_region(splits, MaskRegion(path)), 0)
        assert problem(report) == ("warning", "regions", "val", 1)
        assert "the image itself" in only(report).message


def test_an_image_of_two_levels_that_is_its_own_mask_is_pointed_out(splits: dict[str, Split]) -> None:
    """By its path, since its content would pass for a mask."""
    path = splits["val"].image[int(np.flatnonzero(splits["val"].label[:, 0] == 1)[0])]
    pixels = np.zeros(np.asarray(Image.open(path)).shape[:2], np.uint8)
    pixels[4:9, 4:9] = 255
    Image.fromarray(pixels).save(path)
    assert problem(check(with_region(splits, MaskRegion(path)), 0)) == ("warning", "regions", "val", 1)


def write(split: Split, bits: int, pixels: NDArray[np.int64]) -> None:
    for row, path in enumerate(split.image):
        Image.fromarray((pixels * (row + 1) // len(split) * (2**bits - 1) // 255).astype(np.uint16)).save(path)


@pytest.mark.parametrize(
    ("bits", "words"), [(10, "0.01561 of 1, as values of 10"), (12, "0.06249 of 1, as values of 12")]
)
def test_ten_and_twelve_bits_in_a_file_of_sixteen_come_out_dark(
    splits: dict[str, Split], bits: int, words: str
) -> None:
    ramp = np.arange(32 * 32).reshape(32, 32) % 256
    write(splits["val"], bits, ramp)
    report = check_declared(splits)
    assert problem(report) == ("warning", "images", "val", 10)
    assert words in only(report).message
    assert "data.grey_range to observed" in only(report).message
    # read between their own extremes, they do not
    assert check(splits).problems == ()
    write(splits["val"], 16, ramp + 100)
    assert check_declared(splits).problems == ()


def test_one_black_image_among_others_is_counted(splits: dict[str, Split]) -> None:
    Image.fromarray(np.zeros((32, 32), np.uint8)).save(splits["test"].image[4])
    report = check(splits)
    assert problem(report) == ("warning", "images", "test", 1)
    assert only(report).examples == ("test4",)
