"""Masks in the forms that annotation tools write: right, or refused with the reason."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data_modules.images.image_file import ImageReadError, read_mask
from data_modules.images.masks import MaskError, region_of
from tests.data.dicom import write_dicom

TRUTH = np.zeros((40, 30), bool)
TRUTH[8:20, 5:25] = True
BLACK, WHITE, RED, GREEN = (0, 0, 0), (255, 255, 255), (255, 0, 0), (0, 200, 0)


def paint(region: tuple[int, ...], background: tuple[int, ...]) -> Image.Image:
    """Return a colour image, with opacity if the colours have four values."""
    return Image.fromarray(np.where(TRUTH[..., None], region, background).astype(np.uint8))


def indexed(*colours: tuple[int, int, int], index: tuple[int, int] = (0, 1)) -> Image.Image:
    """Return a palette image; `index` is that of the background and of the region."""
    image = Image.fromarray(np.where(TRUTH, index[1], index[0]).astype(np.uint8), "P")
    image.putpalette([value for colour in colours for value in colour])
    return image


def levels(region: float, background: float, dtype: type) -> Image.Image:
    return Image.fromarray(np.where(TRUTH, region, background).astype(dtype))


def converted(mode: str) -> Image.Image:
    return levels(255, 0, np.uint8).convert(mode)


RIGHT = {
    "1": converted("1"),
    "L of 1": levels(1, 0, np.uint8),
    "L with a grey background": levels(255, 10, np.uint8),
    "I;16 of 1": levels(1, 0, np.uint16),
    "I;16 of 65535": levels(65535, 0, np.uint16),
    "I of 70000": levels(70000, 0, np.int32),
    "F": levels(0.5, 0, np.float32),
    "CMYK": converted("CMYK"),
    "YCbCr": converted("YCbCr"),
    "HSV": converted("HSV"),
    "RGB": converted("RGB"),
    "RGB, green on black": paint(GREEN, BLACK),
    "RGB, dark blue on black": paint((0, 0, 40), BLACK),
    "LA, all opaque": converted("LA"),
    "PA, grey": converted("PA"),
    "P, grey": converted("P"),
    "P, white first": indexed(WHITE, BLACK, index=(1, 0)),
    "P, VOC colours": indexed(BLACK, (128, 0, 0)),
    "P, red on white": indexed(WHITE, RED),
    "P, region with a number of its own": indexed(BLACK, RED, GREEN, index=(0, 2)),
    "RGBA, all opaque": paint((*WHITE, 255), (*BLACK, 255)),
    "RGBA, green on nothing": paint((*GREEN, 255), (*BLACK, 0)),
    "RGBA, white on white nothing": paint((*WHITE, 255), (*WHITE, 0)),
    "RGBA, black on nothing": paint((*BLACK, 255), (*WHITE, 0)),
    "RGBA, half opaque red on nothing": paint((*RED, 128), (*BLACK, 0)),
}


def joined(first: tuple[int, ...], second: tuple[int, ...]) -> Image.Image:
    """Return an image whose region has two colours on either side, on nothing or on black."""
    pixels = np.where(TRUTH[..., None], first, 0).astype(np.uint8)
    pixels[TRUTH & (np.arange(30) > 15)] = second
    return Image.fromarray(pixels.squeeze())


def joined_indices() -> Image.Image:
    image = Image.fromarray(np.array(joined((1,), (2,))), "P")
    image.putpalette([*BLACK, *RED, *GREEN])
    return image


REFUSED = {
    "L, numbered regions": (joined((1,), (2,)), "3 values up to 2: a mask of each region"),
    "L without a background": (levels(255, 200, np.uint8), "none of which is a dark background"),
    "F with a gap": (levels(np.nan, 0, np.float32), "not finite"),
    "RGB, red on white": (paint(RED, WHITE), "several colours"),
    "RGB, red and green on black": (joined(RED, GREEN), "several colours"),
    "RGBA, red and green on nothing": (joined((*RED, 255), (*GREEN, 255)), "partly transparent"),
    "P, black after another colour": (indexed(RED, BLACK), "palette image of the indices"),
    "P, red and green": (joined_indices(), "palette image of the indices"),
    "P without 0": (indexed(BLACK, RED, GREEN, index=(1, 2)), "palette image of the indices"),
}


@pytest.mark.parametrize("name", RIGHT)
def test_the_region_is_found_in_every_mode(name: str) -> None:
    np.testing.assert_array_equal(region_of(RIGHT[name]), TRUTH)


@pytest.mark.parametrize("name", REFUSED)
def test_what_leaves_the_region_open_is_refused(name: str) -> None:
    image, words = REFUSED[name]
    with pytest.raises(MaskError, match=words):
        region_of(image)


@pytest.mark.parametrize("value", [0, 255])
@pytest.mark.parametrize("mode", ["1", "L", "RGB", "LA", "P", "I", "F"])
def test_a_mask_of_one_level_is_empty_or_full(mode: str, value: int) -> None:
    mask = region_of(Image.new("L", (4, 3), value).convert(mode))
    np.testing.assert_array_equal(mask, np.full((3, 4), value > 0))


def test_a_transparent_mask_is_empty_whatever_its_colours() -> None:
    assert not region_of(Image.new("RGBA", (4, 3), (255, 255, 255, 0))).any()


@pytest.mark.parametrize("name", ["m.png", "m.jpg", "m.tif"])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_files_of_all_formats_are_read(name: str, mode: str, tmp_path: Path) -> None:
    converted(mode).save(tmp_path / name)
    np.testing.assert_array_equal(read_mask(tmp_path / name), TRUTH)


def test_a_transparent_colour_of_a_png_is_background(tmp_path: Path) -> None:
    levels(40, 255, np.uint8).save(tmp_path / "m.png", transparency=255)
    np.testing.assert_array_equal(read_mask(tmp_path / "m.png"), TRUTH)


def test_a_file_that_is_refused_is_named_in_one_line(tmp_path: Path) -> None:
    paint(RED, WHITE).save(tmp_path / "m.png")
    with pytest.raises(ImageReadError, match=r"'.*m\.png' cannot be read: its regions"):
        read_mask(tmp_path / "m.png")


def test_dicom_masks_have_two_levels_and_the_polarity_of_the_file(tmp_path: Path) -> None:
    stored = TRUTH.astype(np.uint8) * np.uint8(255)
    np.testing.assert_array_equal(read_mask(write_dicom(tmp_path / "a.dcm", stored, 8)), TRUTH)
    inverted = write_dicom(tmp_path / "b.dcm", 255 - stored, 8, PhotometricInterpretation="MONOCHROME1")
    np.testing.assert_array_equal(read_mask(inverted), TRUTH)
    with pytest.raises(ImageReadError, match="mask of two grey levels is expected"):
        read_mask(write_dicom(tmp_path / "c.dcm", np.arange(1200, dtype=np.uint16).reshape(40, 30), 16))


OTHER = np.zeros((40, 30), bool)
OTHER[25:32, 5:25] = True


def two_regions(second: tuple[int, int, int]) -> Image.Image:
    """Return a colour image of a red region and another one."""
    return Image.fromarray(np.where(OTHER[..., None], second, np.where(TRUTH[..., None], RED, BLACK)).astype(np.uint8))


@pytest.mark.parametrize("mode", ["L", "I;16", "P"])
@pytest.mark.parametrize("value", [85, 127])
def test_a_second_region_that_is_darker_is_not_lost(mode: str, value: int) -> None:
    values = np.where(OTHER, value, np.where(TRUTH, 255, 0))
    image = Image.fromarray(values.astype(np.uint16 if mode == "I;16" else np.uint8))
    image = image.convert("P") if mode == "P" else image
    with pytest.raises(MaskError, match=f"an area of the value {value}, of 255"):
        region_of(image)


@pytest.mark.parametrize("second", [(0, 0, 120), (0, 120, 0), (120, 0, 0)])
def test_a_second_region_of_a_darker_colour_is_not_lost(second: tuple[int, int, int]) -> None:
    with pytest.raises(MaskError, match="an area of the value 120, of 255"):
        region_of(two_regions(second))


@pytest.mark.parametrize("factor", [0.5, 0.7, 2])
@pytest.mark.parametrize("resample", [Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.BOX])
def test_a_smoothed_edge_is_no_second_region(factor: float, resample: Image.Resampling) -> None:
    image = levels(255, 0, np.uint8)
    resized = image.resize((round(30 * factor), round(40 * factor)), resample)
    assert region_of(resized).mean() == pytest.approx(TRUTH.mean(), abs=0.03)
