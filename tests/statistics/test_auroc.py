"""Differences in AUROC over patients."""

import numpy as np
import pytest

from mmpkd.metrics.classification import auroc
from mmpkd.statistics.auroc import auroc_difference, auroc_differences
from mmpkd.statistics.weighted_scores import weighted_auroc


def test_weighted_auroc_is_the_auroc_of_repeated_images() -> None:
    import torch

    rng = np.random.default_rng(4)
    preds, positive = rng.integers(0, 6, 30) / 6, rng.random(30) > 0.5
    weights = rng.integers(0, 3, (5, 30)).astype(float)
    for row, value in zip(weights, weighted_auroc(preds, positive, weights), strict=True):
        index = np.repeat(np.arange(30), row.astype(int))
        repeated = [torch.from_numpy(x[index].astype(float))[:, None] for x in (preds, positive)]
        assert value == pytest.approx(auroc(*repeated).item())


def test_variances_are_those_of_leaving_out_one_patient_at_a_time() -> None:
    """With ties, several images a patient, targets that are not stated, and a second finding."""
    rng = np.random.default_rng(0)
    patient = np.repeat(np.arange(20), 3)
    target = rng.integers(0, 2, (60, 2)).astype(float)
    target[rng.random(target.shape) < 0.2] = np.nan
    arm, reference = rng.integers(0, 8, (2, 3, 60, 2)) / 8

    def difference(weights: "np.ndarray[tuple[int], np.dtype[np.float64]]") -> list[float]:
        found = []
        for run in range(3):
            values = []
            for k in range(2):
                stated = ~np.isnan(target[:, k])
                own = weights[None, stated]
                pair = [
                    weighted_auroc(preds[run, stated, k], target[stated, k] == 1, own) for preds in (arm, reference)
                ]
                values.append(float((pair[0] - pair[1])[0]))
            found.append(float(np.mean(values)))
        return found

    all_images = np.array(difference(np.ones(60)))
    rest = np.array([difference((patient != own).astype(float)) for own in range(20)]) - all_images  # (P, S)
    effect = auroc_difference(arm, reference, target, patient)
    assert effect.estimate == pytest.approx(all_images.mean())
    (spread,) = effect.parts
    mean = rest.mean(axis=1, keepdims=True)
    assert float(spread.patients) == pytest.approx(19 / 20 * (mean**2).sum())
    assert float(spread.noise) == pytest.approx(19 / 20 * ((rest - mean) ** 2).sum() / 6)


def test_patients_without_a_stated_target_are_no_patients_of_an_auroc() -> None:
    rng = np.random.default_rng(7)
    target = np.tile([[0.0], [1.0], [np.nan]], (10, 1))
    preds = rng.random((2, 30, 1))
    stated = ~np.isnan(target[:, 0])
    whole = auroc_difference(preds, 1 - preds, target, np.arange(30))
    part = auroc_difference(preds[:, stated], 1 - preds[:, stated], target[stated], np.arange(20))
    assert whole.interval() == part.interval()
    assert np.isnan(auroc_difference(preds, preds, np.full((30, 1), np.nan), np.arange(30)).estimate)


def test_findings_at_once_are_those_one_by_one() -> None:
    """Also where a patient has a label of one finding only, and where a finding has no positives."""
    rng = np.random.default_rng(3)
    target = rng.integers(0, 2, (60, 3)).astype(float)
    target[rng.random(target.shape) < 0.6] = np.nan
    target[:, 2] = 0.0
    patient = np.repeat(np.arange(30), 2)
    arm, reference = rng.integers(0, 8, (2, 3, 60, 3)) / 8
    found, mean = auroc_differences(arm, reference, target, patient)
    alone = [auroc_difference(arm[..., [k]], reference[..., [k]], target[:, [k]], patient) for k in range(3)]
    # exactly, and NaN for the finding without positives
    assert repr(found[:2]) == repr(tuple(alone[:2]))
    assert found[2] is alone[2]
    assert repr(mean) == repr(auroc_difference(arm, reference, target, patient))


def test_the_error_of_an_auroc_difference_is_that_of_delong() -> None:
    rng = np.random.default_rng(6)
    positive = rng.random(300) > 0.4
    preds = [positive + rng.normal(0, 1.2, 300) for _ in range(2)]
    target = positive[:, None].astype(float)
    found = auroc_difference(preds[0][None, :, None], preds[1][None, :, None], target, np.arange(300))
    # DeLong, DeLong and Clarke-Pearson 1988: the variance of paired placements
    wins = [(np.subtract.outer(p[positive], p[~positive]) > 0).astype(float) for p in preds]
    case, control = (wins[0] - wins[1]).mean(axis=1), (wins[0] - wins[1]).mean(axis=0)
    error = np.sqrt(case.var(ddof=1) / positive.sum() + control.var(ddof=1) / (~positive).sum())
    assert found.estimate == pytest.approx((wins[0] - wins[1]).mean())
    assert found.error == pytest.approx(error, rel=0.01)
