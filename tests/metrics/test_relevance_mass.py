import pytest
import torch

from mmpkd.metrics import RelevanceMass, area_fraction, relevance_mass

MASK = torch.zeros(1, 8, 8, dtype=torch.bool)
MASK[0, 2:6, 0:4] = True


def test_all_ones_score_the_area() -> None:
    torch.testing.assert_close(relevance_mass(torch.ones(1, 8, 8), MASK), area_fraction(MASK))


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


def test_unequal_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="Expected `heatmap`"):
        relevance_mass(torch.ones(1, 4, 4), MASK)
