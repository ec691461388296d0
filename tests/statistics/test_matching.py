import numpy as np
import pytest

from mmpkd.statistics.matching import at_equal_auroc, at_equal_confidence, logits, where_both_recognise


def test_an_effect_that_is_all_confidence_is_none_at_equal_confidence() -> None:
    rng = np.random.default_rng(0)
    confidence = rng.normal(1.0, 1.0, (4, 300))
    score = 0.2 * confidence + rng.normal(0, 0.05, (4, 300))
    matched = at_equal_confidence(score, confidence, np.arange(300))
    assert score.mean() == pytest.approx(0.2, abs=0.01)
    interval = matched.effect.interval()
    assert interval.low < 0 < interval.high
    assert interval.high - interval.low < 0.05
    beyond = at_equal_confidence(score + 0.1, confidence, np.arange(300))
    assert beyond.effect.estimate == pytest.approx(0.1, abs=0.02)


def test_the_intercept_is_that_of_least_squares_on_defined_pairs() -> None:
    rng = np.random.default_rng(1)
    x, y = rng.normal(1, 1, (2, 40)), rng.normal(0, 1, (2, 40))
    y[:, :3] = np.nan
    expected = [np.polyfit(x[s, 3:], y[s, 3:], 1)[1] for s in range(2)]
    matched = at_equal_confidence(y, x, np.arange(40) // 2)
    assert matched.effect.estimate == pytest.approx(np.mean(expected))
    assert matched.num_rois == 74


def test_patients_without_a_defined_roi_are_no_evidence() -> None:
    rng = np.random.default_rng(4)
    x, y = rng.normal(1, 1, (2, 1, 24)), rng.normal(0.2, 0.1, (2, 1, 24))
    y[:, :, 3:] = np.nan
    patient = np.repeat(np.arange(8), 3)
    assert np.isnan(at_equal_confidence(y[0], x[0], patient).effect.interval().low)
    both = np.concatenate([y[0], y[1]]), np.concatenate([x[0], x[1]])
    assert np.isnan(at_equal_confidence(*both, patient).effect.interval().low)


def test_without_a_difference_in_confidence_nothing_changes() -> None:
    y = np.random.default_rng(2).normal(0.3, 1, (3, 50))
    matched = at_equal_confidence(y, np.zeros((3, 50)), np.arange(50))
    assert matched.effect.estimate == pytest.approx(y.mean())


def test_the_subset_is_of_rois_that_both_arms_recognise() -> None:
    score = np.array([[0.1, 0.5, 0.9], [0.2, 0.6, 1.0]])
    recognised = np.array([[True, True, False], [True, False, False]])
    matched = where_both_recognise(score, recognised, np.arange(3))
    assert matched is not None
    assert matched.effect.estimate == pytest.approx((0.3 + 0.2) / 2)
    assert matched.num_rois == 3
    assert where_both_recognise(score, recognised & [[True], [False]], np.arange(3)) is None


def test_runs_on_one_line_leave_nothing_to_the_arm() -> None:
    rng = np.random.default_rng(3)
    aurocs = rng.uniform(0.7, 0.9, 6), rng.uniform(0.75, 0.95, 6)
    line = [0.5 * a + rng.normal(0, 0.002, 6) for a in aurocs]
    matched = at_equal_auroc((line[0], line[1]), aurocs)
    assert matched is not None
    assert not matched.is_extrapolated
    assert matched.effect.estimate == pytest.approx(0, abs=0.005)
    moved = at_equal_auroc((line[0] + 0.1, line[1]), aurocs)
    assert moved is not None
    assert moved.effect.estimate == pytest.approx(matched.effect.estimate + 0.1)
    apart = at_equal_auroc((line[0], line[1]), (aurocs[0], aurocs[1] + 0.3))
    assert apart is not None
    assert apart.is_extrapolated
    assert at_equal_auroc((line[0][:2], line[1][:2]), (aurocs[0][:2], aurocs[1][:2])) is None


def test_logits_are_bounded() -> None:
    assert logits(np.array([0.0, 0.5, 1.0])) == pytest.approx([-10, 0, 10])
    assert logits(np.array([0.9])) == pytest.approx(np.log(9))
