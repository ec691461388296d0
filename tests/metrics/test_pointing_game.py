import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mmpkd.metrics import PointingGame, Rois, pointing_game


def _reference(heatmap: Tensor, mask: Tensor, tolerance: float) -> float:
    """Every tied patch, every pixel, in plain Python."""
    if not mask.any():
        return float("nan")
    (h, w), (height, width) = heatmap.shape, mask.shape
    hits = []
    for i, j in np.argwhere((heatmap == heatmap.max()).numpy()):
        y, x = int((i + 0.5) * height / h), int((j + 0.5) * width / w)
        distance = min((y - row) ** 2 + (x - column) ** 2 for row, column in np.argwhere(mask.numpy()))
        hits.append(distance <= tolerance**2)
    return float(np.mean(hits))


@given(
    seed=st.integers(0, 2**31),
    grid=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    size=st.tuples(st.integers(4, 13), st.integers(4, 13)),
    levels=st.integers(1, 6),
    tolerance=st.sampled_from([0.0, 1.0, 1.5, 2.0, 5.0, 20.0]),
)
@settings(max_examples=80)
def test_equals_plain_python(
    seed: int, grid: tuple[int, int], size: tuple[int, int], levels: int, tolerance: float
) -> None:
    generator = torch.Generator().manual_seed(seed)
    heatmap = torch.randint(0, levels, (5, *grid), generator=generator).float()
    mask = torch.rand(5, *size, generator=generator) < torch.tensor([0, 0.02, 0.1, 0.5, 1]).reshape(-1, 1, 1)
    expected = [_reference(h, m, tolerance) for h, m in zip(heatmap, mask, strict=True)]
    np.testing.assert_allclose(pointing_game(heatmap, mask, tolerance), expected, atol=1e-6)


def test_chance_level_is_the_area() -> None:
    mask = torch.zeros(1, 64, 64, dtype=torch.bool)
    mask[0, 16:40, 8:56] = True  # on patch borders
    area = Rois(mask).area.item()
    assert area == 24 * 48 / 64**2
    assert pointing_game(torch.ones(1, 8, 8), mask).item() == pytest.approx(area)  # the mean over all points
    random = torch.rand(20_000, 8, 8, generator=torch.Generator().manual_seed(0))
    mean = pointing_game(random, mask.expand(20_000, -1, -1)).mean().item()
    assert mean == pytest.approx(area, abs=4 * (area * (1 - area) / 20_000) ** 0.5)


def test_ties_count_by_the_share_that_hits() -> None:
    heatmap = torch.tensor([[[1.0, 0, 1], [0, 0, 0], [0, 1, 0]]])
    mask = torch.zeros(1, 9, 9, dtype=torch.bool)
    mask[0, :3] = True
    assert pointing_game(heatmap, mask).item() == pytest.approx(2 / 3)


def test_box_is_half_open() -> None:
    heatmap = torch.zeros(1, 2, 2)
    heatmap[0, 1, 1] = 1  # its patch covers pixels 8 to 15; its centre lies in pixel 12
    for box, hit in ((slice(4, 12), 0.0), (slice(12, 16), 1.0), (slice(4, 13), 1.0), (slice(13, 16), 0.0)):
        mask = torch.zeros(1, 16, 16, dtype=torch.bool)
        mask[0, box, box] = True
        assert pointing_game(heatmap, mask).item() == hit


@pytest.mark.parametrize(("tolerance", "hit"), [(4.99, 0.0), (5.0, 1.0), (5.01, 1.0)])
def test_tolerance_is_inclusive(tolerance: float, hit: float) -> None:
    mask = torch.zeros(1, 20, 20, dtype=torch.bool)
    mask[0, 10 - 3, 10 - 4] = True  # 5 pixels from the centre
    assert pointing_game(torch.ones(1, 1, 1), mask, tolerance).item() == hit


def test_empty_roi_is_undefined_and_counted() -> None:
    mask = torch.zeros(3, 8, 8, dtype=torch.bool)
    mask[0] = True
    mask[1, 0, 0] = True
    heatmap = torch.zeros(3, 2, 2)
    heatmap[:, 1, 1] = 1
    assert pointing_game(heatmap, mask).isnan().tolist() == [False, False, True]
    metric = PointingGame()
    metric.update(heatmap[:1], mask[:1])
    metric.update(heatmap[1:], mask[1:])
    assert metric.compute().item() == 0.5
    assert metric.num_roi == 3
    assert metric.num_undefined == 1
    empty = PointingGame()
    empty.update(heatmap[2:], mask[2:])
    assert empty.compute().isnan()


def test_no_roi_at_all() -> None:
    assert pointing_game(torch.zeros(0, 2, 2), torch.zeros(0, 8, 8, dtype=torch.bool), 3).shape == (0,)


@pytest.mark.parametrize(
    ("heatmap", "mask"),
    [
        (torch.zeros(2, 3, 3), torch.zeros(2, 8, 8)),
        (torch.zeros(2, 3, 3), torch.zeros(3, 8, 8, dtype=torch.bool)),
        (torch.zeros(3, 3), torch.zeros(3, 8, 8, dtype=torch.bool)),
    ],
)
def test_impossible_input_is_refused(heatmap: Tensor, mask: Tensor) -> None:
    with pytest.raises(ValueError, match="Expected"):
        pointing_game(heatmap, mask)


def test_negative_tolerance_is_refused() -> None:
    with pytest.raises(ValueError, match="tolerance"):
        pointing_game(torch.zeros(1, 1, 1), torch.ones(1, 2, 2, dtype=torch.bool), -1)


def test_tolerance_as_a_fraction_of_the_shorter_side() -> None:
    mask = torch.zeros(1, 20, 40, dtype=torch.bool)
    mask[0, 10, 20 - 5] = True  # 5 pixels from the centre
    assert pointing_game(torch.ones(1, 1, 1), mask, 0.25, "fraction").item() == 1
    assert pointing_game(torch.ones(1, 1, 1), mask, 0.24, "fraction").item() == 0
    names = [PointingGame().name, PointingGame(15).name, PointingGame(0.05, "fraction").name]
    assert names == ["pointing_game", "pointing_game_15px", "pointing_game_0.05side"]


def test_a_tolerance_beyond_the_frame_is_that_of_the_whole_frame() -> None:
    mask = torch.zeros(1, 8, 12, dtype=torch.bool)
    mask[0, 7, 11] = True
    heatmap = torch.zeros(1, 2, 3)
    heatmap[0, 0, 0] = 1
    assert pointing_game(heatmap, mask, 1e12).item() == 1
