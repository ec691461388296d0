import sys

import numpy as np
import pytest

from mmpkd.attribution.plotting import CONTOUR_COLORS, display_scale, map_figure, overlay

IMAGE = np.linspace(0, 1, 30 * 50).reshape(30, 50)
FLAT = np.zeros((3, 5))


@pytest.mark.parametrize(
    ("size", "expected"), [((30, 50), (390, 650)), ((224, 224), (448, 448)), ((400, 500), (400, 500))]
)
def test_result_is_large_enough_and_keeps_the_aspect(size: tuple[int, int], expected: tuple[int, int]) -> None:
    picture = overlay(np.zeros(size), FLAT)
    assert picture.dtype == np.uint8
    assert picture.shape == (*expected, 3)


def test_scale_is_whole() -> None:
    assert [display_scale(*size) for size in ((64, 64), (384, 1), (383, 999), (384, 384))] == [6, 384, 2, 1]


def test_constant_heatmap_shows_the_image_alone() -> None:
    picture = overlay(np.full((30, 50), 0.5), np.full((3, 5), 0.7))
    assert (picture == 128).all()


def test_heatmap_colours_its_maximum_and_leaves_its_minimum() -> None:
    heatmap = FLAT.copy()
    heatmap[1, 3] = 5
    picture = overlay(np.zeros((30, 50)), heatmap).astype(int)
    brightest = np.unravel_index(picture.sum(-1).argmax(), picture.shape[:2])
    # patch (1, 3) covers rows 10 to 20 and columns 30 to 40, at scale 13
    assert 10 * 13 <= brightest[0] < 20 * 13
    assert 30 * 13 <= brightest[1] < 40 * 13
    assert (picture[:100, :300] == 0).all()


def test_brightness_grows_with_the_heatmap() -> None:
    ramp = np.tile(np.linspace(0, 1, 100), (100, 1))
    picture = overlay(np.zeros((100, 100)), ramp, opacity=1).astype(float)
    luminance = picture[200] @ np.array([0.2126, 0.7152, 0.0722])
    assert (np.diff(luminance) >= -1.5).all()


def test_contours_follow_masks_on_any_background() -> None:
    mask = np.zeros((30, 50), dtype=bool)
    mask[5:15, 10:30] = True
    other = np.zeros((30, 50), dtype=bool)
    other[20:28, 5:40] = True
    for grey in (0.0, 0.5, 1.0):
        picture = overlay(np.full((30, 50), grey), FLAT, [mask, other])
        for color in CONTOUR_COLORS[:2]:
            rows, columns = np.nonzero((picture == color).all(-1))
            assert len(rows) > 500
        first = (picture == CONTOUR_COLORS[0]).all(-1)
        rows, columns = np.nonzero(first)
        assert rows.min() >= 5 * 13 - 3
        assert rows.max() <= 15 * 13 + 3
        assert columns.min() >= 10 * 13 - 3
        assert columns.max() <= 30 * 13 + 3
        assert (picture == 0).all(-1).any()  # the dark rim


@pytest.mark.parametrize("num_findings", [0, 1, 5])
def test_a_figure_keeps_proportions_and_nothing_lies_on_a_panel(num_findings: int) -> None:
    rois = {
        f"Enlarged Cardiomediastinum {i}": np.pad(np.ones((4, 4), bool), ((5, 21), (5 + i, 41 - i)))
        for i in range(num_findings)
    }
    figure = map_figure(IMAGE, {"rollout": FLAT + np.eye(3, 5)}, rois, title="a title", aspect=1.5)
    figure.draw_without_rendering()
    panels = [axes.get_window_extent() for axes in figure.axes[:2]]
    for panel in panels:
        assert panel.height / panel.width == pytest.approx(1.5 * 30 / 50)
    others = [axes.title.get_window_extent() for axes in figure.axes[:2]]
    others += [legend.get_window_extent() for legend in figure.legends]
    bar = figure.axes[2].get_tightbbox()
    assert bar is not None
    others.append(bar)
    for box in others:
        assert figure.bbox.x0 <= box.x0
        assert box.x1 <= figure.bbox.x1
        assert figure.bbox.y0 - 4 <= box.y0
    assert not any(panel.overlaps(box) for panel in panels for box in others)
    assert not panels[0].overlaps(panels[1])


def test_pyplot_is_not_touched() -> None:
    sys.modules.pop("matplotlib.pyplot", None)
    overlay(IMAGE, FLAT)
    assert "matplotlib.pyplot" not in sys.modules


@pytest.mark.parametrize(
    ("image", "heatmap", "masks", "opacity"),
    [
        (IMAGE[None], FLAT, [], 0.5),
        (IMAGE * 2, FLAT, [], 0.5),
        (IMAGE, FLAT, [np.zeros((3, 5), bool)], 0.5),
        (IMAGE, FLAT, [], 1.5),
    ],
)
def test_impossible_input_is_refused(
    image: np.ndarray, heatmap: np.ndarray, masks: list[np.ndarray], opacity: float
) -> None:
    with pytest.raises(ValueError, match="Expected"):
        overlay(image, heatmap, masks, opacity)
