import pytest
import torch

from mmpkd.metrics import RelevanceMass, Rois, relevance_mass, relevance_rank

MASK = torch.zeros(1, 8, 8, dtype=torch.bool)
MASK[0, 2:6, 0:4] = True


def test_all_ones_score_the_area() -> None:
    torch.testing.assert_close(relevance_mass(torch.ones(1, 8, 8), MASK), Rois(MASK).area)


def test_share_inside() -> None:
    heatmap = torch.zeros(1, 8, 8)
    heatmap[0, 3, 3] = 3
    heatmap[0, 3, 4] = 1
    heatmap[0, 0, 0] = -5  # negative relevance is no mass
    assert relevance_mass(heatmap, MASK).item() == 0.75
    assert relevance_mass(10 * heatmap, MASK).item() == 0.75


def test_empty_roi_and_empty_heatmap_are_undefined() -> None:
    assert relevance_mass(torch.ones(1, 8, 8), torch.zeros(1, 8, 8, dtype=torch.bool)).isnan().all()
    assert relevance_mass(torch.zeros(1, 8, 8), MASK).isnan().all()


def test_metric_interpolates() -> None:
    metric = RelevanceMass()
    metric.update(torch.full((1, 2, 2), 0.3), MASK)
    assert metric.compute().item() == pytest.approx(0.25)


def test_as_many_heatmaps_as_masks_are_expected() -> None:
    with pytest.raises(ValueError, match="Expected `heatmap`"):
        relevance_mass(torch.ones(2, 8, 8), MASK)


def test_rank_counts_the_largest_pixels() -> None:
    heatmap = torch.arange(64.0).reshape(1, 8, 8)
    mask = torch.zeros(1, 8, 8, dtype=torch.bool)
    mask[0, 6:] = True  # the 16 largest
    assert relevance_rank(heatmap, mask).item() == 1
    assert relevance_rank(-heatmap, mask).item() == 0
    mask = torch.zeros(1, 8, 8, dtype=torch.bool)
    mask[0, 5:7] = True  # 16 pixels, 8 of them among the 16 largest
    assert relevance_rank(heatmap, mask).item() == 0.5


def test_rank_of_ties_is_what_a_random_choice_expects() -> None:
    heatmap = torch.zeros(1, 8, 8)
    heatmap[0, :2] = torch.tensor([1.0, 2.0]).repeat_interleave(8).reshape(2, 8)
    # the ROI has 12 pixels: all 8 of row 1 are chosen, and 4 of the 8 that tie in row 0
    mask = torch.zeros(1, 8, 8, dtype=torch.bool)
    mask[0, 1, :6] = True
    mask[0, 0, :4] = True
    mask[0, 5, :2] = True
    assert relevance_rank(heatmap, mask).item() == pytest.approx((6 + 4 * 4 / 8) / 12)
    assert relevance_rank(torch.ones(1, 8, 8), MASK).item() == pytest.approx(0.25)
    assert relevance_rank(heatmap, torch.zeros(1, 8, 8, dtype=torch.bool)).isnan().all()
