"""The difference at equal recognition."""

from dataclasses import replace

import numpy as np
import pytest

from mmpkd.statistics.effects import Effect, effect_of
from mmpkd.statistics.estimands import AVERAGES, Average, Regions, RunMeans, run_means
from mmpkd.statistics.recognition import Arms, Matched, at_equal_recognition, region_weights, standardised
from mmpkd.statistics.spread import Spread


def worlds(gain: float, direct: float = 0.0, seed: int = 0) -> tuple[Arms, Arms, Regions]:
    """Return scores and confidence that both follow one recognition; `direct` is what the arm has beyond it."""
    rng = np.random.default_rng(seed)
    patient = np.repeat(np.arange(80), rng.integers(1, 4, 80))
    seen = (
        rng.normal(0, 1, 80)[patient] + rng.normal(0, 0.3, (2, 4, len(patient))) + np.array([0.0, gain])[:, None, None]
    )
    score = 0.1 * seen + rng.normal(0, 0.02, seen.shape) + np.array([0.0, direct])[:, None, None]
    confidence = seen + rng.normal(0, 0.7, seen.shape)
    return (
        Arms(score[1], score[0]),
        Arms(confidence[1], confidence[0]),
        Regions(patient, np.zeros(len(patient), np.int64)),
    )


def test_a_gain_in_recognition_alone_is_no_difference_beyond_it() -> None:
    scores, confidence, regions = worlds(0.6)
    found = at_equal_recognition(scores, confidence, regions, "patients")
    assert found is not None
    assert found.unadjusted == pytest.approx(0.06, abs=0.01)
    assert abs(found.effect.estimate) < 0.01
    assert found.verdict == "not shown"
    assert found.correlation > 0.5


def test_what_is_beyond_recognition_is_found() -> None:
    scores, confidence, regions = worlds(0.6, direct=0.04)
    found = at_equal_recognition(scores, confidence, regions, "patients")
    assert found is not None
    assert found.effect.estimate == pytest.approx(0.04, abs=0.01)
    assert found.verdict == "beyond"


@pytest.mark.parametrize("average", AVERAGES)
def test_the_slope_is_that_of_two_stage_least_squares_without_each_patient(average: Average) -> None:
    """Two stages with an intercept for each arm, each region with the weight that it has in the average."""
    scores, confidence, regions = worlds(0.3, seed=1)
    rng = np.random.default_rng(2)
    regions = replace(regions, finding=rng.integers(0, 2, len(regions.patient)))
    weight = region_weights(np.ones_like(scores.arm, np.bool_), regions, average)

    def slope(run: int, kept: "np.ndarray[tuple[int], np.dtype[np.bool_]]") -> float:
        both = (confidence.reference, confidence.arm)
        arms = [(own[run, kept], np.delete(own, run, axis=0).mean(axis=0)[kept]) for own in both]
        z, instrument = (np.concatenate(parts) for parts in zip(*arms, strict=True))
        y = np.concatenate([scores.reference[run, kept], scores.arm[run, kept]])
        arm = np.repeat([0.0, 1.0], kept.sum())
        root = np.sqrt(np.tile(weight[run, kept], 2))[:, None]
        first = np.stack([np.ones_like(arm), arm, instrument], axis=1) * root
        fitted = first @ np.linalg.lstsq(first, z * root[:, 0], rcond=None)[0]
        second = np.stack([root[:, 0], arm * root[:, 0], fitted], axis=1)
        return float(np.linalg.lstsq(second, y * root[:, 0], rcond=None)[0][2])

    everyone = np.ones(len(regions.patient), np.bool_)
    score, gap = (run_means(own.arm - own.reference, regions, average) for own in (scores, confidence))
    values = [score.values[run] - slope(run, everyone) * gap.values[run] for run in range(4)]
    found = at_equal_recognition(scores, confidence, regions, average)
    assert found is not None
    assert found.effect.estimate == pytest.approx(np.mean(values))
    without = np.array(score.without)
    for patient in range(80):
        slopes = np.array([slope(run, regions.patient != patient) for run in range(4)])
        without[:, patient] -= slopes * gap.without[:, patient]
    expected = effect_of(RunMeans(np.array(values), without, score.weights))
    assert found.effect.interval().low == pytest.approx(expected.interval().low)


def test_undefined_scores_take_no_part() -> None:
    scores, confidence, regions = worlds(0.6)
    scores.arm[:, :40] = np.nan
    kept = np.arange(len(regions.patient)) >= 40
    part = [Arms(own.arm[:, kept], own.reference[:, kept]) for own in (scores, confidence)]
    rest = Regions(regions.patient[kept], regions.finding[kept])
    whole = at_equal_recognition(scores, confidence, regions, "patients")
    alone = at_equal_recognition(part[0], part[1], rest, "patients")
    assert whole is not None
    assert alone is not None
    assert whole.effect.estimate == pytest.approx(alone.effect.estimate)
    assert whole.num_rois == alone.num_rois
    scores.arm[0] = np.nan
    assert at_equal_recognition(scores, confidence, regions, "patients") is None


def test_one_run_has_no_instrument() -> None:
    scores, confidence, regions = worlds(0.6)
    single = [Arms(own.arm[:1], own.reference[:1]) for own in (scores, confidence)]
    assert at_equal_recognition(single[0], single[1], regions, "patients") is None


def test_a_tenth_of_the_unadjusted_difference_is_allowed_for() -> None:
    spread = Spread(5, *map(np.asarray, (1e-6, 1e-6, 0.0, 99.0, 0.0)))
    found = Matched(Effect(0.012, (spread,)), 0.1, 0.6, 100)
    half = found.effect.interval().high - 0.012
    assert 0.002 < half < 0.012
    assert found.verdict == "not shown"
    # of the other sign, nothing is allowed for
    assert replace(found, unadjusted=-0.1).verdict == "beyond"
    assert replace(found, effect=Effect(0.009, (spread,))).p_value() == 1.0
    assert replace(found, correlation=0.05).verdict == "cannot be told"
    assert replace(found, correlation=float("nan")).verdict == "cannot be told"


def test_confidence_does_not_depend_on_calibration() -> None:
    rng = np.random.default_rng(0)
    logit, negatives = rng.normal(1, 2, 20), rng.normal(-1, 2, 50)
    moved = standardised(0.5 * logit - 3, 0.5 * negatives - 3)
    assert moved == pytest.approx(standardised(logit, negatives))
    assert np.isnan(standardised(logit, negatives[:1])).all()
