"""Effects over seeds and patients."""

import numpy as np
import pytest
from scipy import stats

from mmpkd.statistics.effects import Effect, effect_of, independent_sum, paired_effect_size
from mmpkd.statistics.intervals import bca_interval, t_interval
from mmpkd.statistics.resampling import Floats, SeedReplicates, cluster_sums, patient_bootstrap


def table(
    rng: np.random.Generator, seeds: int, patients: int, effect: float, seed_sd: float = 0.0
) -> tuple[Floats, "np.ndarray[tuple[int], np.dtype[np.int64]]"]:
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
    per_patient = np.random.default_rng(0).normal(0, 1, 200)
    values, patient = np.repeat(per_patient, 10)[None], np.repeat(np.arange(200), 10)
    effect = effect_of(patient_bootstrap(cluster_sums(values, patient), 4000))
    assert effect.error == pytest.approx(per_patient.std(ddof=1) / np.sqrt(200), rel=0.1)


def test_one_run_agrees_with_scipy_when_every_patient_has_one_row() -> None:
    rng = np.random.default_rng(1)
    values = rng.exponential(1, 60)
    interval = bca_interval(patient_bootstrap(cluster_sums(values[None], np.arange(60)), 50_000))
    # SciPy's is not expanded: its level is the one at which the normal quantile is ours
    level = 2 * stats.norm.cdf(np.sqrt(60 / 59) * stats.t.ppf(0.975, 59)) - 1
    reference = stats.bootstrap(
        (values,), np.mean, method="BCa", n_resamples=50_000, confidence_level=level, rng=rng
    ).confidence_interval
    assert interval.low == pytest.approx(reference.low, abs=0.01)
    assert interval.high == pytest.approx(reference.high, abs=0.01)


def test_one_run_with_few_patients_covers_nearly_as_often_as_it_says() -> None:
    rng = np.random.default_rng(8)
    covered = []
    for values in rng.normal(0, 1, (1500, 8)):
        interval = effect_of(patient_bootstrap(cluster_sums(values[None], np.arange(8)))).interval()
        if not np.isnan(interval.low):
            covered.append(interval.low <= 0 <= interval.high)
    assert len(covered) > 1450
    assert np.mean(covered) >= 0.91  # .88 if it is not expanded


def test_several_runs_agree_with_the_closed_form_of_two_crossed_factors() -> None:
    """With one row a patient the mean has the variance (MS_seeds + MS_patients - MS_residual) / (S P) of a two-way layout."""
    rng = np.random.default_rng(2)
    values = 0.2 + rng.normal(0, 0.3, (5, 1)) + rng.normal(0, 0.5, (1, 80)) + rng.normal(0, 0.4, (5, 80))
    effect = effect_of(patient_bootstrap(cluster_sums(values, np.arange(80)), 20_000))
    rows, columns = values.mean(1, keepdims=True), values.mean(0, keepdims=True)
    seeds, patients = 80 * rows.var(ddof=1), 5 * columns.var(ddof=1)
    residual = ((values - rows - columns + values.mean()) ** 2).sum() / (4 * 79)
    variance = (seeds + patients - residual) / 400
    df = variance**2 / sum((x / 400) ** 2 / n for x, n in ((seeds, 4), (patients, 79), (residual, 4 * 79)))
    assert effect.estimate == pytest.approx(values.mean())
    assert effect.error == pytest.approx(np.sqrt(variance), rel=0.02)
    assert effect.df == pytest.approx(df, rel=0.05)
    half = effect.error * stats.t.ppf(0.975, effect.df)
    assert effect.interval().high - effect.estimate == pytest.approx(half)
    medians = (x / 400 / (stats.chi2.median(n) / n) for x, n in ((seeds, 4), (patients, 79), (residual, 4 * 79)))
    seeds, patients, residual = medians
    assert effect.typical.error == pytest.approx(np.sqrt(seeds + patients - residual), rel=0.02)
    assert effect.typical.error > effect.error * 1.05
    assert effect.typical.df < effect.df


def test_equal_patients_leave_the_t_interval_over_seeds() -> None:
    means = np.array([0.1, 0.3, 0.2, 0.5])
    effect = effect_of(patient_bootstrap(cluster_sums(np.repeat(means[:, None], 30, axis=1), np.arange(30))))
    expected = t_interval(means)
    assert effect.interval().low == pytest.approx(expected.low)
    assert effect.interval().high == pytest.approx(expected.high)


def test_the_variance_is_never_below_that_between_seeds() -> None:
    rng = np.random.default_rng(3)
    for _ in range(50):
        values = rng.normal(0, 1, (3, 12)) + rng.normal(0, 0.05, (3, 1))
        effect = effect_of(patient_bootstrap(cluster_sums(values, np.arange(12)), 200))
        assert effect.error >= values.mean(1).std(ddof=1) / np.sqrt(3) - 1e-12


@pytest.mark.parametrize("seeds", [1, 5])
def test_p_values_agree_with_intervals(seeds: int) -> None:
    values, patient = table(np.random.default_rng(4), seeds, 60, 0.1, 0.02)
    effect = effect_of(patient_bootstrap(cluster_sums(values, patient), 5000))
    for level in (0.8, 0.95):
        interval = effect.interval(level)
        for end in (interval.low, interval.high):
            assert effect.p_value(end) == pytest.approx(1 - level, abs=0.01)
    assert effect.p_value(effect.interval(0.9).low, "greater") == pytest.approx(0.05, abs=0.01)
    assert effect.p_value(effect.interval(0.9).high, "less") == pytest.approx(0.05, abs=0.01)
    assert effect.p_value(effect.estimate) > 0.9


@pytest.mark.parametrize("patients", [2, 3, 4, 6])
def test_one_run_on_few_patients_claims_nothing_that_its_p_value_does_not(patients: int) -> None:
    rng = np.random.default_rng(9)
    defined = 0
    for values in rng.normal(0.5, 1, (100, patients)):
        effect = effect_of(patient_bootstrap(cluster_sums(values[None], np.arange(patients))))
        assert effect.interval().excludes_zero == (effect.p_value() < 0.05)
        defined += not np.isnan(effect.interval().low)
    assert (defined > 50) == (patients == 6)


def test_the_error_of_one_run_is_that_of_the_mean() -> None:
    values = np.random.default_rng(10).normal(0, 1, 12)
    effect = effect_of(patient_bootstrap(cluster_sums(values[None], np.arange(12)), 50_000))
    assert effect.error == pytest.approx(values.std(ddof=1) / np.sqrt(12), rel=0.02)
    assert effect.df == 11


@pytest.mark.parametrize("value", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("seeds", [1, 3])
def test_equal_differences_prove_nothing(value: float, seeds: int) -> None:
    """Thirty patients without a difference do not exclude one in ten with one."""
    effect = effect_of(patient_bootstrap(cluster_sums(np.full((seeds, 30), value), np.arange(30))))
    assert effect.estimate == pytest.approx(value)
    assert np.isnan([effect.interval().low, effect.p_value(), effect.p_value(-0.1, "greater")]).all()
    assert np.isnan(paired_effect_size(np.full(5, value)))


def test_without_patients_nothing_is_claimed() -> None:
    nothing = effect_of(SeedReplicates(np.array([0.1, 0.2]), np.full((10, 2), np.nan), np.empty((0, 2)), 5))
    assert np.isnan(nothing.interval().low)
    assert np.isnan(nothing.p_value())
    one = effect_of(patient_bootstrap(cluster_sums(np.array([[0.1, 0.2]]), np.array([0, 0]))))
    assert np.isnan(one.interval().low)


def test_independent_effects_add_their_variances() -> None:
    effects = Effect(0.3, 0.1, 4.0), Effect(0.1, 0.2, 9.0)
    both = independent_sum(effects, (1.0, -1.0))
    assert both.estimate == pytest.approx(0.2)
    assert both.error == pytest.approx(np.sqrt(0.05))
    assert both.df == pytest.approx(0.05**2 / (0.01**2 / 4 + 0.04**2 / 9))
    typical = 0.01 / (stats.chi2.median(4) / 4), 0.04 / (stats.chi2.median(9) / 9)
    assert both.typical.error == pytest.approx(np.sqrt(sum(typical)))
    assert both.typical.df == pytest.approx(sum(typical) ** 2 / (typical[0] ** 2 / 4 + typical[1] ** 2 / 9))
    values, patient = table(np.random.default_rng(5), 1, 30, 0.1)
    single = effect_of(patient_bootstrap(cluster_sums(values, patient)))
    with pytest.raises(ValueError, match="single run"):
        independent_sum((single, effects[0]), (1.0, -1.0))


def test_t_interval_and_effect_size_have_their_closed_forms() -> None:
    values = np.array([0.1, 0.2, 0.4])
    half = stats.t.ppf(0.975, 2) * values.std(ddof=1) / np.sqrt(3)
    interval = t_interval(values)
    assert (interval.low, interval.high) == pytest.approx((values.mean() - half, values.mean() + half))
    assert paired_effect_size(values) == pytest.approx(values.mean() / values.std(ddof=1) * (1 - 3 / 7))
    # the correction for two units is zero: a size of 0.000 beside a clear difference would mislead
    assert np.isnan(paired_effect_size(values[:2]))
    assert np.isnan(t_interval(values[:1]).low)
