import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from data_modules.images.geometry import BoxFormat, Placement, Size, Window, is_rescaled, place, to_xyxy, whole
from data_modules.images.regions import BoxRegion, Roi, draw_roi


@pytest.mark.parametrize(
    ("box", "box_format"),
    [
        ([10, 20, 40, 80], "xyxy"),
        ([10, 20, 30, 60], "xywh"),
        ([20, 10, 80, 40], "yxyx"),
        ([0.1, 0.1, 0.4, 0.4], "xyxy_normalised"),
        ([0.1, 0.1, 0.3, 0.3], "xywh_normalised"),
    ],
)
def test_every_convention_gives_the_same_box(box: list[float], box_format: BoxFormat) -> None:
    assert to_xyxy(box, box_format, (200, 100)) == pytest.approx((10, 20, 40, 80))


def test_boxes_are_clipped_and_wrong_ones_refused() -> None:
    assert to_xyxy([-5, -5, 500, 500], "xyxy", (20, 30)) == (0, 0, 30, 20)
    for wrong in ([1, 2, 3], [1, 2, 3, float("nan")]):
        with pytest.raises(ValueError, match="4 finite numbers"):
            to_xyxy(wrong, "xyxy", (20, 30))


def test_fractions_that_are_pixels_are_refused() -> None:
    assert to_xyxy([-0.01, 0, 1.02, 1], "xyxy_normalised") == (-0.01, 0, 1.02, 1)
    for box in ([10, 20, 40, 80], [0.5, 0.5, 2.5, 1]):
        with pytest.raises(ValueError, match="these are pixels"):
            to_xyxy(box, "xyxy_normalised")


def test_published_sizes_of_masks_and_images() -> None:
    assert is_rescaled((4386, 1789), (5041, 2056))
    assert not is_rescaled((4688, 3088), (4624, 3056))  # 0.3 per cent, and 15 pixels, away from a copy


SIDES = st.integers(40, 4000)
ROUNDINGS: tuple[Callable[[float], int], ...] = (round, math.floor, math.ceil)


@st.composite
def copies(draw: st.DrawFn) -> tuple[Size, Size, float]:
    """An image, a smaller copy with sides rounded in any one way, and its scale."""
    height, width = draw(SIDES), draw(SIDES)
    scale = draw(st.floats(max(0.05, 4 / min(height, width)), 1))
    rounding = draw(st.sampled_from(ROUNDINGS))
    small = (rounding(scale * height), rounding(scale * width))
    # one side kept and two pixels of the other lost: not to be told from a crop, and refused as one
    lost = (height - small[0], width - small[1])
    assume(0 not in lost or max(lost) <= 1)
    return (height, width), small, scale


@given(copies(), st.data())
def test_a_region_lands_within_a_pixel_on_any_copy(copy: tuple[Size, Size, float], data: st.DataObject) -> None:
    (height, width), small, scale = copy
    assert is_rescaled((height, width), small)
    assert is_rescaled(small, (height, width))
    x0, y0 = data.draw(st.floats(0, width - 1)), data.draw(st.floats(0, height - 1))
    box = (x0, y0, data.draw(st.floats(x0, width)), data.draw(st.floats(y0, height)))
    # in a canvas of the copy's own pixels, rows and columns of the region are those of the box, scaled
    placement = place(small, whole(small), max(small), "pad")
    assert placement.content == small
    mask = draw_roi(Roi(0, (BoxRegion(box),), (height, width)), placement)
    for axis, (low, high) in enumerate(((box[1], box[3]), (box[0], box[2]))):
        own = np.flatnonzero(mask.any(axis=1 - axis)) - placement.offset[axis]
        if len(own):
            assert abs(own[0] - low * scale) <= 1.5  # a pixel, and half of one to its centre
            assert abs(own[-1] + 1 - high * scale) <= 1.5
        else:
            assert min(box[2] - box[0], box[3] - box[1]) * scale <= 2


@given(SIDES, SIDES, st.integers(2, 30), st.booleans())
def test_a_crop_of_two_pixels_or_more_is_refused(height: int, width: int, cut: int, tall: bool) -> None:
    cropped = (height - cut, width) if tall else (height, width - cut)
    assert not is_rescaled((height, width), cropped)
    assert not is_rescaled(cropped, (height, width))


@given(SIDES, SIDES, st.floats(0.1, 1), st.floats(0.1, 1))
def test_a_squeezed_copy_is_refused(height: int, width: int, down: float, across: float) -> None:
    squeezed = (math.ceil(down * height), math.ceil(across * width))
    # how far it is from copies in the image's own proportions, of its width or of its height, in its pixels
    off = (squeezed[1] - squeezed[0] * width / height, squeezed[0] - squeezed[1] * height / width)
    assume(min(map(abs, off)) > 1)
    assert not is_rescaled((height, width), squeezed)
    assert not is_rescaled(squeezed, (height, width))


@st.composite
def placements(draw: st.DrawFn) -> Placement:
    """Any chain: a crop or none, mirrored or not, stretched or padded, smaller or larger."""
    height, width = draw(st.integers(8, 90)), draw(st.integers(8, 90))
    y0, x0 = draw(st.integers(0, height - 4)), draw(st.integers(0, width - 4))
    rows, columns = (y0, draw(st.integers(y0 + 4, height))), (x0, draw(st.integers(x0 + 4, width)))
    window = Window(rows, columns, draw(st.booleans())) if draw(st.booleans()) else whole((height, width))
    return place((height, width), window, draw(st.integers(16, 64)), draw(st.sampled_from(["stretch", "pad"])))


@given(placements(), st.data())
def test_a_point_keeps_its_pixel_through_any_chain(placement: Placement, data: st.DataObject) -> None:
    (y0, y1), (x0, x1) = placement.window.rows, placement.window.columns
    # one bright pixel, away from the border, where interpolation has neighbours on both sides
    y, x = data.draw(st.integers(int(y0) + 1, int(y1) - 2)), data.draw(st.integers(int(x0) + 1, int(x1) - 2))
    image = np.zeros(placement.frame, np.float32)
    image[y, x] = 1
    placed = placement.image(image)
    assert placed.shape == (placement.side, placement.side)
    expected = placement.to_canvas(np.array([[x + 0.5, y + 0.5]]))[0]
    for axis, side, extent in ((0, placement.content[1], x1 - x0), (1, placement.content[0], y1 - y0)):
        profile = placed.sum(axis=axis)
        centroid = (profile * (np.arange(placement.side) + 0.5)).sum() / profile.sum()
        # half a pixel of the coarser of the two grids
        assert abs(centroid - expected[axis]) <= 0.5 * max(1.0, side / extent) + 1e-3


@given(placements(), st.floats(0, 90), st.floats(0, 90))
def test_the_chain_can_be_reversed(placement: Placement, x: float, y: float) -> None:
    points = np.array([[x, y]])
    np.testing.assert_allclose(placement.to_frame(placement.to_canvas(points)), points, atol=1e-9)


@given(placements(), st.data())
def test_a_region_stays_on_its_object(placement: Placement, data: st.DataObject) -> None:
    (wy0, wy1), (wx0, wx1) = placement.window.rows, placement.window.columns
    y0, x0 = data.draw(st.integers(int(wy0), int(wy1) - 2)), data.draw(st.integers(int(wx0), int(wx1) - 2))
    y1, x1 = data.draw(st.integers(y0 + 1, int(wy1))), data.draw(st.integers(x0 + 1, int(wx1)))
    mask = draw_roi(Roi(0, (BoxRegion((x0, y0, x1, y1)),)), placement)
    corners = placement.to_canvas(np.array([[x0, y0], [x1, y1]], dtype=float))
    low, high = corners.min(axis=0), corners.max(axis=0)
    centres = np.arange(placement.side) + 0.5
    expected = ((centres > low[1]) & (centres < high[1]))[:, None] & ((centres > low[0]) & (centres < high[0]))[None]
    # a centre exactly on an edge belongs to the half-open side
    edge = np.isclose(centres[:, None], [low[1], high[1]]).any(1)[:, None]
    edge = edge | np.isclose(centres[:, None], [low[0], high[0]]).any(1)[None]
    np.testing.assert_array_equal(mask[~edge], expected[~edge])


def test_padding_keeps_the_aspect_ratio_and_fills_with_zeros() -> None:
    placed = place((20, 40), whole((20, 40)), 16, "pad").image(np.ones((20, 40), np.float32))
    assert placed[4:12].min() == 1
    assert placed[:4].max() == placed[12:].max() == 0


def test_shrinking_averages_instead_of_sampling() -> None:
    checker = (np.indices((32, 32)).sum(0) % 2).astype(np.float32)
    np.testing.assert_allclose(place((32, 32), whole((32, 32)), 8, "stretch").image(checker), 0.5)


def test_an_empty_window_is_refused() -> None:
    with pytest.raises(ValueError, match="window with pixels"):
        place((10, 10), Window((3, 3), (0, 10)), 8, "pad")


def test_a_reduced_copy_lands_on_the_same_place() -> None:
    frame = (400, 200)
    placement = place(frame, Window((100, 300), (50, 150), flip=True), 50, "pad")
    image = np.zeros(frame, np.float32)
    image[120:160, 60:80] = 1
    small = image.reshape(200, 2, 100, 2).mean(axis=(1, 3)).astype(np.float32)
    np.testing.assert_allclose(placement.image(small), placement.image(image), atol=1e-6)
