import numpy as np
import pytest
import torch

from mmpkd.attribution import upsample
from mmpkd.metrics import ContrastToNoise, contrast_to_noise

HEATMAP = torch.rand(6, 5, 5, generator=torch.Generator().manual_seed(0))
MASK = torch.rand(6, 20, 20, generator=torch.Generator().manual_seed(1)) < 0.3


def test_equals_the_formula_in_float64() -> None:
    values = upsample(HEATMAP, (20, 20)).double().numpy()
    for absolute in (False, True):
        expected = []
        for v, m in zip(values, MASK.numpy(), strict=True):
            ratio = (v[m].mean() - v[~m].mean()) / np.sqrt(v[m].var() + v[~m].var())
            expected.append(abs(ratio) if absolute else ratio)
        np.testing.assert_allclose(contrast_to_noise(HEATMAP, MASK, absolute), expected, rtol=1e-4, atol=1e-5)


def test_neither_scale_nor_offset_matters_and_the_sign_tells_which_side_is_brighter() -> None:
    torch.testing.assert_close(
        contrast_to_noise(100 * HEATMAP + 3, MASK), contrast_to_noise(HEATMAP, MASK), atol=1e-4, rtol=1e-3
    )
    torch.testing.assert_close(
        contrast_to_noise(1 - HEATMAP, MASK), -contrast_to_noise(HEATMAP, MASK), atol=1e-4, rtol=1e-3
    )
    assert [ContrastToNoise().name, ContrastToNoise(absolute=True).name] == ["cnr", "cnr_absolute"]


def test_regions_without_variance_are_undefined() -> None:
    mask = torch.zeros(1, 20, 20, dtype=torch.bool)
    mask[0, :10] = True
    assert contrast_to_noise(torch.ones(1, 5, 5), mask).isnan().all()
    assert contrast_to_noise(mask.float(), mask).isnan().all()  # two constant regions: an infinite ratio is none
    assert contrast_to_noise(torch.rand(1, 5, 5), torch.zeros_like(mask)).isnan().all()
    assert contrast_to_noise(torch.rand(1, 5, 5), torch.ones_like(mask)).isnan().all()


def test_one_constant_region_is_defined() -> None:
    heatmap = torch.zeros(1, 20, 20)
    heatmap[0, 10:] = torch.rand(10, 20, generator=torch.Generator().manual_seed(0))
    mask = torch.zeros(1, 20, 20, dtype=torch.bool)
    mask[0, :10] = True
    values = heatmap[0, 10:].double()
    expected = -values.mean() / values.var(correction=0).sqrt()
    assert contrast_to_noise(heatmap, mask).item() == pytest.approx(expected.item(), rel=1e-3)


def two_regions(inside: torch.Tensor, outside: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return a heatmap whose upper half is one region, and the mask of it."""
    mask = torch.zeros(1, 20, 20, dtype=torch.bool)
    mask[0, :10] = True
    return torch.cat([inside.reshape(10, 20), outside.reshape(10, 20)])[None], mask


def test_regions_that_vary_little_beside_their_mean_are_scored_as_in_float64() -> None:
    noise = 1e-4 * torch.rand(2, 200, generator=torch.Generator().manual_seed(0))
    noise[:, 0] = 0
    heatmap, mask = two_regions(1 - noise[0], noise[1])
    inside, outside = heatmap[mask].double(), heatmap[~mask].double()
    spread = inside.var(correction=0) + outside.var(correction=0)
    expected = (inside.mean() - outside.mean()) / spread.sqrt()
    assert contrast_to_noise(heatmap, mask).item() == pytest.approx(expected.item(), rel=0.01)


def test_the_rounding_of_a_region_of_one_value_is_no_noise() -> None:
    inside = torch.ones(200)
    inside[::2] = 1 - 2.0**-24
    assert contrast_to_noise(*two_regions(inside, torch.zeros(200))).isnan().all()
