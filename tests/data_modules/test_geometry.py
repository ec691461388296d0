import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_modules.geometry import BoxFormat, fit_image, fit_mask, rasterise_boxes, resize_mask, same_aspect, to_xyxy


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


def test_a_pixel_is_inside_when_its_centre_is_in_the_half_open_box() -> None:
    mask = rasterise_boxes([(1.5, 0.0, 3.5, 1.0)], (4, 6), (4, 6))
    assert np.argwhere(mask).tolist() == [[0, 1], [0, 2]]  # centres 1.5 (closed side) and 2.5; 3.5 is on the open side
    assert not rasterise_boxes([(2.0, 2.0, 2.0, 4.0)], (4, 6), (4, 6)).any()


def test_boxes_are_a_union_and_refer_to_the_original_frame() -> None:
    mask = rasterise_boxes([(0, 0, 100, 50), (300, 150, 400, 200)], (200, 400), (20, 40))
    expected = np.zeros((20, 40), bool)
    expected[:5, :10] = expected[15:, 30:] = True
    np.testing.assert_array_equal(mask, expected)


@given(st.integers(8, 60), st.integers(8, 60), st.integers(16, 64), st.sampled_from(["stretch", "pad"]), st.data())
def test_a_mask_stays_on_its_object(h: int, w: int, size: int, resize: str, data: st.DataObject) -> None:
    y0, x0 = data.draw(st.integers(0, h - 4)), data.draw(st.integers(0, w - 4))
    y1, x1 = data.draw(st.integers(y0 + 3, h)), data.draw(st.integers(x0 + 3, w))
    mask = np.zeros((h, w), bool)
    mask[y0:y1, x0:x1] = True
    image = fit_image(mask.astype(np.float32), size, resize)  # type: ignore[arg-type]
    fitted = fit_mask(mask, size, resize)  # type: ignore[arg-type]
    assert image.shape == fitted.shape == (size, size)
    sides = [size, size] if resize == "stretch" else [max(1, round(n * size / max(h, w))) for n in (h, w)]
    for axis, (n, side, first, last) in enumerate(((h, sides[0], y0, y1), (w, sides[1], x0, x1))):
        scale, offset = side / n, (size - side) // 2
        start, end = offset + first * scale, offset + last * scale
        profile = image.sum(axis=1 - axis)
        centroid = (profile * (np.arange(size) + 0.5)).sum() / profile.sum()
        assert abs(centroid - (start + end) / 2) <= max(1.0, scale / 2)
        # a pixel belongs to the mask when its centre does, so both ends are right to half a pixel
        if fitted.any():
            found = np.flatnonzero(fitted.any(axis=1 - axis))
            assert abs(found[0] - start) <= 0.5 + 1e-6
            assert abs(found[-1] + 1 - end) <= 0.5 + 1e-6
        assert fitted.any() or scale * (last - first) < 1 or sides[1 - axis] < (w, h)[axis]


def test_padding_keeps_the_aspect_ratio_and_fills_with_zeros() -> None:
    fitted = fit_image(np.ones((20, 40), np.float32), 16, "pad")
    assert fitted[4:12].min() == 1
    assert fitted[:4].max() == fitted[12:].max() == 0


def test_shrinking_averages_instead_of_sampling() -> None:
    checker = np.indices((32, 32)).sum(0) % 2
    np.testing.assert_allclose(fit_image(checker.astype(np.float32), 8, "stretch"), 0.5)


def test_masks_are_resampled_at_pixel_centres() -> None:
    mask = np.zeros((8, 8), bool)
    mask[:, 4:] = True
    np.testing.assert_array_equal(resize_mask(mask, (4, 4)), mask[::2, ::2])
    assert resize_mask(mask, (8, 8)) is mask


def test_aspect_ratios_are_compared_with_a_tolerance() -> None:
    assert same_aspect((4386, 1789), (5041, 2056))
    assert not same_aspect((4688, 3088), (4624, 2900))
