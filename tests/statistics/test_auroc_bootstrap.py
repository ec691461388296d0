"""Differences in AUROC over patients."""

import numpy as np
import pytest

from mmpkd.metrics.classification import auroc
from mmpkd.statistics.auroc_bootstrap import auroc_differences, weighted_auroc


def test_weighted_auroc_is_the_auroc_of_repeated_images() -> None:
    import torch

    rng = np.random.default_rng(4)
    preds, positive = rng.integers(0, 6, 30) / 6, rng.random(30) > 0.5
    weights = rng.integers(0, 3, (5, 30)).astype(float)
    for row, value in zip(weights, weighted_auroc(preds, positive, weights), strict=True):
        index = np.repeat(np.arange(30), row.astype(int))
        repeated = [torch.from_numpy(x[index].astype(float))[:, None] for x in (preds, positive)]
        assert value == pytest.approx(auroc(*repeated).item())


def test_patients_without_a_stated_target_are_no_patients_of_an_auroc() -> None:
    rng = np.random.default_rng(7)
    target = np.tile([[0.0], [1.0], [np.nan]], (10, 1))
    preds = rng.random((1, 30, 1))
    assert auroc_differences(preds, 1 - preds, target, np.arange(30), 10).num_patients == 20


def test_auroc_differences_are_paired() -> None:
    rng = np.random.default_rng(5)
    target = rng.integers(0, 2, (80, 1)).astype(float)
    preds = (target + rng.normal(0, 1, (80, 1)))[None]
    same = auroc_differences(preds, preds, target, np.arange(80), 200)
    assert same.effect().estimate == 0
    assert np.nanmax(np.abs(same.replicates)) == 0


def test_the_error_of_an_auroc_difference_is_that_of_delong() -> None:
    rng = np.random.default_rng(6)
    positive = rng.random(300) > 0.4
    preds = [positive + rng.normal(0, 1.2, 300) for _ in range(2)]
    found = auroc_differences(
        preds[0][None, :, None], preds[1][None, :, None], positive[:, None].astype(float), np.arange(300)
    )
    # DeLong, DeLong and Clarke-Pearson 1988: the variance of paired placements
    wins = [(np.subtract.outer(p[positive], p[~positive]) > 0).astype(float) for p in preds]
    case, control = (wins[0] - wins[1]).mean(axis=1), (wins[0] - wins[1]).mean(axis=0)
    error = np.sqrt(case.var(ddof=1) / positive.sum() + control.var(ddof=1) / (~positive).sum())
    assert found.effect().estimate == pytest.approx((wins[0] - wins[1]).mean())
    assert found.effect().error == pytest.approx(error, rel=0.08)
