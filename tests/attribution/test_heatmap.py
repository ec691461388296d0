import cv2
import numpy as np
import pytest
import torch

from mmpkd.attribution import is_constant, resize_heatmap, upsample


def test_interpolation_equals_opencv() -> None:
    heatmap = torch.rand(3, 5, 4, generator=torch.Generator().manual_seed(0))
    for mine, source in zip(upsample(heatmap, (40, 48)), heatmap, strict=True):
        np.testing.assert_allclose(mine, cv2.resize(source.numpy(), (48, 40)), atol=1e-5)


def test_the_whole_range_of_float32_is_interpolated() -> None:
    heatmap = torch.tensor([[[3e38, -3e38]]])
    expected = torch.tensor([[[3e38, 1.5e38, -1.5e38, -3e38]]])
    torch.testing.assert_close(upsample(heatmap, (1, 4)), expected)
    torch.testing.assert_close(resize_heatmap(heatmap, (1, 4)), torch.tensor([[[1.0, 0.75, 0.25, 0]]]))


def test_scaling_comes_after_resizing() -> None:
    peak = torch.zeros(1, 4, 4)
    peak[0, 1, 2] = 7
    resized = resize_heatmap(peak, (64, 64))
    assert upsample(peak, (64, 64)).max() < 7
    assert resized.max() == 1
    assert resized.min() == 0


@pytest.mark.parametrize("value", [0.0, 1.0, 0.3, 1 / 196])
def test_constant_maps_become_zero(value: float) -> None:
    heatmap = torch.full((2, 7, 7), value)
    heatmap[1, 3, 3] += 0.5
    resized = resize_heatmap(heatmap, (100, 90))
    assert torch.equal(resized[0], torch.zeros(100, 90))
    assert resized[1].max() == 1
    assert is_constant(heatmap).tolist() == [True, False]
    assert is_constant(upsample(heatmap, (100, 90))).tolist() == [True, False]


def test_wrong_shape_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\(B, h, w\)"):
        upsample(torch.zeros(4, 4), (8, 8))


@pytest.mark.parametrize(("relative_range", "expected"), [(1e-5, False), (2e-6, False), (5e-7, True), (0.0, True)])
@pytest.mark.parametrize("scale", [1.0, -3.0, 1e20])
def test_a_map_is_constant_if_its_range_is_rounding(relative_range: float, scale: float, expected: bool) -> None:
    heatmap = scale * torch.tensor([[[1.0, 1.0 - relative_range]]])
    assert is_constant(heatmap).item() is expected
