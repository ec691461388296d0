import numpy as np
import pytest
from scipy import stats

from mmpkd.metrics.classification import auroc
from mmpkd.study.auroc_bootstrap import auroc_differences, weighted_auroc
from mmpkd.study.statistics import (
    bca_interval,
    cluster_sums,
    interval_of,
    paired_effect_size,
    patient_bootstrap,
    percentile_interval,
    t_interval,
    two_level_bootstrap,
    verdict,
)


def table(rng: np.random.Generator, seeds: int, patients: int, effect: float, seed_sd: float = 0.0):  # type: ignore[no-untyped-def]  # noqa: ANN201
    """Return differences (S, N) and patients (N,), with 1 to 4 ROIs a patient that share the patient's deviation."""
    size = rng.integers(1, 5, patients)
    patient = np.repeat(np.arange(patients), size)
    shared = rng.normal(0, 0.1, patients)[patient]
    values = effect + rng.normal(0, seed_sd, (seeds, 1)) + shared + rng.normal(0, 0.05, (seeds, len(patient)))
    return values, patient


def test_means_leave_out_undefined_pairs_and_count_them() -> None:
    sums = cluster_sums(np.array([[1.0, 3.0, np.nan], [0.0, 2.0, 4.0]]), np.array([0, 0, 1]))
    assert sums.seed_means.tolist() == [2, 2]
    assert sums.num_undefined == 1
    with pytest.raises(ValueError, match="undefined for all"):
        cluster_sums(np.array([[np.nan]]), np.array([0]))


def test_standard_error_is_that_of_clusters_not_of_rows() -> None:
    rng = np.random.default_rng(0)
    per_patient = rng.normal(0, 1, 200)
    values, patient = np.repeat(per_patient, 10)[None], np.repeat(np.arange(200), 10)
    error = patient_bootstrap(cluster_sums(values, patient), 4000).standard_error
    assert error == pytest.approx(per_patient.std(ddof=1) / np.sqrt(200), rel=0.1)


def test_agrees_with_scipy_when_every_patient_has_one_row() -> None:
    rng = np.random.default_rng(1)
    values = rng.exponential(1, 60)
    bootstrap = patient_bootstrap(cluster_sums(values[None], np.arange(60)), 9999)
    for interval, method in ((percentile_interval(bootstrap), "percentile"), (bca_interval(bootstrap), "BCa")):
        reference = stats.bootstrap((values,), np.mean, method=method, n_resamples=9999, rng=rng).confidence_interval
        assert interval.low == pytest.approx(reference.low, abs=0.03)
        assert interval.high == pytest.approx(reference.high, abs=0.03)


def test_two_levels_add_the_variance_between_seeds() -> None:
    values, patient = table(np.random.default_rng(2), 5, 100, 0.0, seed_sd=0.3)
    sums = cluster_sums(values, patient)
    between = sums.seed_means.std(ddof=1) / np.sqrt(5)
    both = two_level_bootstrap(sums, 4000).standard_error
    assert both > patient_bootstrap(sums).standard_error
    assert both == pytest.approx(np.hypot(between, patient_bootstrap(sums).standard_error), rel=0.2)
    with pytest.raises(ValueError, match="at least 2 seeds"):
        two_level_bootstrap(cluster_sums(values[:1], patient))


@pytest.mark.slow
@pytest.mark.parametrize(("seeds", "seed_sd"), [(1, 0.0), (5, 0.05)])
def test_intervals_cover_the_truth_about_as_often_as_they_say(seeds: int, seed_sd: float) -> None:
    rng = np.random.default_rng(3)
    covered = 0
    for _ in range(200):
        values, patient = table(rng, seeds, 60, 0.1, seed_sd)
        interval = interval_of(cluster_sums(values, patient), num_replicates=500)
        covered += interval.low <= 0.1 <= interval.high
    assert 0.90 <= covered / 200 <= 1.0


def test_t_interval_and_effect_size_have_their_closed_forms() -> None:
    values = np.array([0.1, 0.2, 0.4])
    half = stats.t.ppf(0.975, 2) * values.std(ddof=1) / np.sqrt(3)
    interval = t_interval(values)
    assert (interval.low, interval.high) == pytest.approx((values.mean() - half, values.mean() + half))
    assert paired_effect_size(values) == pytest.approx(values.mean() / values.std(ddof=1) * (1 - 3 / 7))
    # the correction for two units is zero: a size of 0.000 beside a clear difference would mislead
    assert np.isnan(paired_effect_size(values[:2]))
    assert np.isnan(t_interval(values[:1]).low)


def test_verdicts() -> None:
    from mmpkd.study.statistics import Interval

    def interval(low: float, high: float) -> Interval:
        return Interval(low, high, "x")

    assert verdict(interval(0.1, 0.3), interval(0.12, 0.28), None) == "higher"
    assert verdict(interval(-0.3, -0.1), interval(-0.28, -0.12), None) == "lower"
    assert verdict(interval(-0.1, 0.3), interval(-0.05, 0.28), None) == "not shown"
    assert verdict(interval(-0.02, 0.02), interval(-0.01, 0.01), 0.05) == "equivalent"


def test_weighted_auroc_is_the_auroc_of_repeated_images() -> None:
    import torch

    rng = np.random.default_rng(4)
    preds, positive = rng.integers(0, 6, 30) / 6, rng.random(30) > 0.5
    weights = rng.integers(0, 3, (5, 30)).astype(float)
    for row, value in zip(weights, weighted_auroc(preds, positive, weights), strict=True):
        index = np.repeat(np.arange(30), row.astype(int))
        repeated = [torch.from_numpy(x[index].astype(float))[:, None] for x in (preds, positive)]
        assert value == pytest.approx(auroc(*repeated).item())


def test_auroc_differences_are_paired() -> None:
    rng = np.random.default_rng(5)
    target = rng.integers(0, 2, (80, 1)).astype(float)
    preds = (target + rng.normal(0, 1, (80, 1)))[None]
    same = auroc_differences(preds, preds, target, np.arange(80), 200)
    assert same.bootstrap().estimate == 0
    assert np.nanmax(np.abs(same.replicates)) == 0
