import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from mmpkd.attribution import resize_heatmap
from mmpkd.metrics import PixelAUROC, pixel_auroc, pixel_average_precision


@given(seed=st.integers(0, 2**31), grid=st.integers(1, 6), levels=st.sampled_from([2, 5, 1000]))
@settings(max_examples=60, deadline=None)
def test_both_equal_scikit_learn(seed: int, grid: int, levels: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    heatmap = torch.randint(0, levels, (4, grid, grid), generator=generator) / levels
    mask = torch.rand(4, 24, 24, generator=generator) < torch.tensor([0.02, 0.1, 0.5, 0.9]).reshape(-1, 1, 1)
    mask[:, 0, 0] = True
    values = (resize_heatmap(heatmap, (24, 24)) * 65535).int().flatten(1).numpy()
    truth = mask.flatten(1).numpy()
    auroc = [roc_auc_score(t, v) for t, v in zip(truth, values, strict=True)]
    precision = [average_precision_score(t, v) for t, v in zip(truth, values, strict=True)]
    np.testing.assert_allclose(pixel_auroc(heatmap, mask), auroc, atol=1e-6)
    np.testing.assert_allclose(pixel_average_precision(heatmap, mask), precision, atol=1e-6)


def test_sixteen_bits_change_little_even_on_a_map_with_one_sharp_peak() -> None:
    generator = torch.Generator().manual_seed(0)
    heatmap = torch.rand(20, 14, 14, generator=generator) * 0.01
    heatmap[:, 3, 5] = 1  # all else lies in a hundredth of the range
    mask = torch.zeros(20, 224, 224, dtype=torch.bool)
    mask[:, 30:120, 60:140] = True
    values, truth = resize_heatmap(heatmap, (224, 224)).flatten(1).numpy(), mask.flatten(1).numpy()
    auroc = [roc_auc_score(t, v) for t, v in zip(truth, values, strict=True)]
    precision = [average_precision_score(t, v) for t, v in zip(truth, values, strict=True)]
    np.testing.assert_allclose(pixel_auroc(heatmap, mask), auroc, atol=1e-4)
    np.testing.assert_allclose(pixel_average_precision(heatmap, mask), precision, atol=1e-3)


def test_chance_levels() -> None:
    mask = torch.zeros(2, 20, 20, dtype=torch.bool)
    mask[0, 2:10, 5:15] = True
    mask[1] = True
    ones = torch.ones(2, 5, 5)
    assert pixel_auroc(ones, mask)[0].item() == 0.5
    assert pixel_average_precision(ones, mask)[0].item() == pytest.approx(0.2)
    assert pixel_auroc(ones, mask)[1].isnan()  # nothing is outside
    assert pixel_average_precision(ones, mask)[1].item() == 1


def test_empty_rois_are_undefined_and_counted() -> None:
    mask = torch.zeros(2, 20, 20, dtype=torch.bool)
    mask[0, :5] = True
    heatmap = torch.rand(2, 5, 5, generator=torch.Generator().manual_seed(0))
    assert pixel_auroc(heatmap, mask).isnan().tolist() == [False, True]
    assert pixel_average_precision(heatmap, mask).isnan().tolist() == [False, True]
    metric = PixelAUROC()
    metric.update(heatmap, mask)
    assert metric.num_undefined == 1
    torch.testing.assert_close(metric.compute(), pixel_auroc(heatmap, mask)[0])


def test_a_map_and_its_reverse_add_up_to_one() -> None:
    heatmap = torch.rand(5, 6, 6, generator=torch.Generator().manual_seed(1))
    mask = torch.rand(5, 30, 30, generator=torch.Generator().manual_seed(2)) < 0.2
    torch.testing.assert_close(
        pixel_auroc(heatmap, mask) + pixel_auroc(1 - heatmap, mask), torch.ones(5), atol=2e-4, rtol=0
    )
