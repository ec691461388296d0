from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.path import Path as Outline
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as coco

from data_modules.images.geometry import Window, place, to_xyxy, whole
from data_modules.images.image_file import ImageReadError
from data_modules.images.mask_regions import MaskRegion, RLERegion
from data_modules.images.regions import (
    BoxRegion,
    EllipseRegion,
    MirroredRegion,
    PolygonRegion,
    Region,
    Roi,
    boxes,
    draw_roi,
    lies_mirrored,
    mirror,
)


def draw(region: Region, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Draw a region on the pixels of its own image."""
    return region.draw(np.arange(0.5, size[1]), np.arange(0.5, size[0]), size)


def test_a_pixel_is_inside_when_its_centre_is_in_the_half_open_box() -> None:
    mask = draw(BoxRegion((1.5, 0.0, 3.5, 1.0)), (4, 6))
    assert np.argwhere(mask).tolist() == [[0, 1], [0, 2]]  # centres 1.5 (closed side) and 2.5; 3.5 is on the open side
    assert not draw(BoxRegion((2.0, 2.0, 2.0, 4.0)), (4, 6)).any()


def test_an_ellipse_has_its_area_and_its_axes() -> None:
    mask = draw(EllipseRegion((20, 30, 100, 150)), (200, 200))
    assert mask.sum() == pytest.approx(np.pi * 40 * 60, rel=0.005)
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    assert (rows[0], rows[-1] + 1, columns[0], columns[-1] + 1) == (30, 150, 20, 100)
    assert not draw(EllipseRegion((5, 5, 5, 9)), (20, 20)).any()


@given(st.lists(st.tuples(st.floats(-5, 45), st.floats(-5, 45)), min_size=3, max_size=3))
def test_a_polygon_agrees_with_matplotlib(corners: list[tuple[float, float]]) -> None:
    # a triangle has no crossings, where fill rules differ; the shift keeps corners off pixel centres
    points = tuple((round(x, 2) + 0.00137, round(y, 2) + 0.00219) for x, y in corners)
    y, x = np.mgrid[:40, :40] + 0.5
    expected = Outline([*points, points[0]]).contains_points(np.stack([x.ravel(), y.ravel()], 1)).reshape(40, 40)
    different = draw(PolygonRegion(points), (40, 40)) != expected
    # on the line itself both answers are right
    a, b = np.array(points), np.roll(np.array(points), -1, 0)
    for row, column in np.argwhere(different):
        p = np.array([column + 0.5, row + 0.5])
        cross = (b - a)[:, 0] * (p - a)[:, 1] - (b - a)[:, 1] * (p - a)[:, 0]
        assert (np.abs(cross) < 1e-6).any()


def test_a_polygon_of_a_line_encloses_nothing() -> None:
    assert not draw(PolygonRegion(((1, 1), (8, 8))), (10, 10)).any()


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 10_000))
def test_run_lengths_agree_with_pycocotools(height: int, width: int, seed: int) -> None:
    noise = np.random.default_rng(seed).random((height, width)).astype(np.float32)
    mask = cv2.blur(noise, (3, 3)) > 0.5
    encoded = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    np.testing.assert_array_equal(RLERegion((height, width), encoded["counts"].decode()).decode(), mask)


def test_run_lengths_as_numbers_are_column_major_and_must_fit() -> None:
    assert RLERegion((2, 3), (1, 2, 3)).decode().tolist() == [[False, True, False], [True, False, False]]
    with pytest.raises(ValueError, match=r"\[height, width\]"):
        RLERegion((3, 3), (1, 2, 3)).decode()


@given(st.tuples(*[st.floats(-5, 45)] * 4), st.integers(10, 40), st.booleans())
def test_a_mirrored_region_is_the_mirror_image(corners: tuple[float, ...], width: int, elliptic: bool) -> None:
    x0, x1, y0, y1 = (round(value, 2) + 0.00137 for value in corners)  # off the centres of pixels
    box = (min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1))
    region: Region = EllipseRegion(box) if elliptic else BoxRegion(box)
    mirrored = draw(MirroredRegion(region), (20, width))
    np.testing.assert_array_equal(mirrored, draw(region, (20, width))[:, ::-1])
    np.testing.assert_array_equal(draw(MirroredRegion(MirroredRegion(region)), (20, width)), mirrored[:, ::-1])


def test_a_region_beside_the_crop_whose_mirror_image_is_on_it_lies_mirrored() -> None:
    # a breast of 40 of 100 columns on the left
    placement = place((100, 100), Window((0, 100), (0, 40)), 50, "pad")
    on, beside, both = (Roi(0, boxes([(x, 20, end, 30)])) for x, end in ((20, 30), (70, 80), (35, 65)))
    assert [lies_mirrored(roi, placement) for roi in (on, beside, both)] == [False, True, False]
    assert [lies_mirrored(mirror(roi), placement) for roi in (on, beside, both)] == [True, False, False]
    everywhere = place((100, 100), whole((100, 100)), 50, "pad")
    assert not any(lies_mirrored(roi, everywhere) for roi in (on, beside, both))


def test_a_squeezed_copy_keeps_the_fractions_of_a_region() -> None:
    # drawn on 200 x 400 pixels, squeezed to 100 x 100 as a whole
    roi = Roi(0, boxes([(100, 50, 200, 100)]), (200, 400), squeezed=True)
    expected = np.zeros((20, 20), bool)
    expected[5:10, 5:10] = True
    np.testing.assert_array_equal(draw_roi(roi, place((100, 100), whole((100, 100)), 20, "pad")), expected)


def test_a_mask_file_may_have_another_resolution_but_not_another_aspect(tmp_path: Path) -> None:
    pixels = np.zeros((20, 40), np.uint8)
    pixels[5:10, 20:30] = 2
    Image.fromarray(pixels).save(tmp_path / "mask.png")
    region = MaskRegion(tmp_path / "mask.png")
    expected = np.zeros((40, 80), bool)
    expected[10:20, 40:60] = True
    np.testing.assert_array_equal(draw(region, (40, 80)), expected)
    with pytest.raises(ImageReadError, match="40 x 40"):
        draw(region, (40, 40))
    draw(region, (42, 80))  # one pixel of the mask
    with pytest.raises(ImageReadError, match="43 x 80"):
        draw(region, (43, 80))
    with pytest.raises(ImageReadError, match="run-length encoded mask"):
        draw(RLERegion((20, 40), (700, 100)), (40, 40))


def test_an_roi_is_the_union_of_its_parts_in_the_frame_of_the_annotation() -> None:
    # annotated on 200 x 400 pixels; the file is a copy of half the size
    roi = Roi(0, boxes([(0, 0, 100, 50), (300, 150, 400, 200)]), (200, 400))
    mask = draw_roi(roi, place((100, 200), whole((100, 200)), 40, "pad"))
    expected = np.zeros((40, 40), bool)
    expected[10:15, :10] = expected[25:30, 30:] = True
    np.testing.assert_array_equal(mask, expected)


def test_a_squeezed_or_cropped_copy_is_refused() -> None:
    with pytest.raises(ImageReadError, match="squeezed copy"):
        draw_roi(Roi(0, (), (200, 400)), place((224, 224), whole((224, 224)), 40, "pad"))


def test_what_the_crop_removed_is_not_drawn_into_the_padding() -> None:
    placement = place((100, 100), Window((0, 100), (0, 40)), 50, "pad")
    mask = draw_roi(Roi(0, boxes([(0, 0, 100, 100)])), placement)
    np.testing.assert_array_equal(np.flatnonzero(mask.any(0)), np.arange(15, 35))


# Bugs that public code has, each on the same lesion: a bright box of x 30 to 50 and y 60 to 90 in 200 x 100 pixels.
LESION = (30.0, 60.0, 50.0, 90.0)


@pytest.mark.parametrize("resize", ["stretch", "pad"])
@pytest.mark.parametrize("flip", [False, True])
def test_the_lesion_is_where_the_region_is(resize: str, flip: bool) -> None:
    image = np.zeros((200, 100), np.float32)
    image[60:90, 30:50] = 1
    placement = place((200, 100), Window((0, 200), (0, 100), flip), 100, resize)  # type: ignore[arg-type]
    mask = draw_roi(Roi(0, boxes([LESION])), placement)
    np.testing.assert_array_equal(mask, placement.image(image) > 0.5)  # padded, resized, mirrored alike
    upside_down = mask[::-1]
    assert not (mask & upside_down).all(where=mask)  # y is counted from the top


def test_width_is_not_a_coordinate() -> None:
    assert to_xyxy([30, 60, 20, 30], "xywh", (200, 100)) == LESION
    assert to_xyxy([30, 60, 20, 30], "xyxy", (200, 100)) != LESION


def test_height_and_width_are_not_exchanged() -> None:
    assert to_xyxy([0.3, 0.3, 0.5, 0.45], "xyxy_normalised", (200, 100)) == pytest.approx(LESION)
    with pytest.raises(ImageReadError, match="aspect ratio"):
        draw_roi(Roi(0, boxes([LESION]), (100, 200)), place((200, 100), whole((200, 100)), 50, "pad"))
