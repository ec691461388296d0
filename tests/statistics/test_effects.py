"""Intervals over seeds and patients, against closed forms and brute force."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from mmpkd.statistics.arrays import Floats
from mmpkd.statistics.effects import Effect, effect_of, independent_sum, paired_effect_size, t_interval
from mmpkd.statistics.estimands import AVERAGES, Average, Regions, run_means
from mmpkd.statistics.simulation.intervals import of_world
from mmpkd.statistics.simulation.judged import truth_of
from mmpkd.statistics.simulation.worlds import World
from mmpkd.statistics.spread import Spread, patients_df, reach, spread_of
from tests.statistics.tables import drawn


def one_region_each(values: Floats) -> Effect:
    size = values.shape[1]
    return effect_of(run_means(values, Regions(np.arange(size), np.zeros(size, np.int64)), "patients"))


def symmetric(values: Floats, mean: float) -> Floats:
    """Return values without skewness, for which the interval is Student's."""
    return mean + np.concatenate([values, -values])


def spread(
    seeds: float, patients: float, noise: float, num_seeds: int = 5, df: float = 50.0, skewness: float = 0.0
) -> Spread:
    return Spread(num_seeds, *map(np.asarray, (seeds, patients, noise, df, skewness)))


@given(st.integers(0, 1000), st.integers(2, 6), st.integers(8, 30))
@settings(max_examples=20, deadline=None)
def test_a_mean_over_patients_is_the_two_way_layout(seed: int, seeds: int, patients: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.normal(0, 0.3, (seeds, 1)) + rng.normal(0, 0.5, patients) + rng.normal(0, 0.4, (seeds, patients))
    (found,) = one_region_each(values).parts
    rows, columns = values.mean(1, keepdims=True), values.mean(0, keepdims=True)
    residual = ((values - rows - columns + values.mean()) ** 2).sum() / ((seeds - 1) * (patients - 1))
    assert float(found.seeds) == pytest.approx(rows.var(ddof=1) / seeds)
    assert float(found.patients) == pytest.approx(columns.var(ddof=1) / patients)
    assert float(found.noise) == pytest.approx(residual / (seeds * patients))
    assert float(found.df) == pytest.approx(patients - 1)
    third = stats.skew(columns[0], bias=False) / np.sqrt(patients)
    # Fisher and Pearson's coefficient is of the same order in the number of patients
    assert float(found.skewness) == pytest.approx(third, abs=1e-9)


@given(st.sampled_from(AVERAGES), st.integers(0, 100))
@settings(max_examples=9, deadline=None)
def test_variances_are_those_of_leaving_out_one_patient_at_a_time(average: Average, seed: int) -> None:
    values, regions = drawn(3, 20, seed=seed)
    found = spread_of(run_means(values, regions, average))
    rows = []
    for patient in range(20):
        kept = regions.patient != patient
        rest = Regions(regions.patient[kept], regions.finding[kept])
        rows.append(run_means(values[:, kept], rest, average).values)
    influence = np.array(rows) - run_means(values, regions, average).values  # (P, S)
    mean = influence.mean(axis=1, keepdims=True)
    assert float(found.patients) == pytest.approx(19 / 20 * (mean**2).sum())
    assert float(found.noise) == pytest.approx(19 / 20 * ((influence - mean) ** 2).sum() / (3 * 2))


@given(st.lists(st.floats(0.05, 20), min_size=3, max_size=12))
def test_degrees_of_freedom_are_those_of_the_quadratic_form(sizes: list[float]) -> None:
    """V is a quadratic form x'Ax of independent patients: df = 2 E(V)^2 / Var(V) = tr(A)^2 / tr(A^2)."""
    a = np.array(sizes) / sum(sizes)
    centred = np.eye(len(a)) - a  # row i: x_i minus the weighted mean
    matrix = centred.T @ np.diag(a**2 / (1 - a) ** 2) @ centred
    expected = np.trace(matrix) ** 2 / np.trace(matrix @ matrix)
    assert float(patients_df(a)) == pytest.approx(max(expected, 1.0), rel=1e-6)


def test_equal_patients_leave_the_t_interval_over_seeds() -> None:
    means = np.array([0.1, 0.3, 0.2, 0.5])
    found = one_region_each(np.repeat(means[:, None], 30, axis=1)).interval()
    expected = t_interval(means)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_equal_runs_leave_the_t_interval_over_patients() -> None:
    values = symmetric(np.random.default_rng(0).normal(0, 1, 15), 0.1)
    found = one_region_each(np.repeat(values[None], 4, axis=0)).interval()
    assert (found.low, found.high) == pytest.approx(stats.t.interval(0.95, 29, values.mean(), stats.sem(values)))


def test_one_run_has_the_t_interval_over_patients_and_no_p_value() -> None:
    values = symmetric(np.random.default_rng(1).normal(0, 1, 20), 0.5)
    effect = one_region_each(values[None])
    found = effect.interval()
    assert found.method == "patients"
    assert (found.low, found.high) == pytest.approx(stats.t.interval(0.95, 39, values.mean(), stats.sem(values)))
    assert np.isnan(effect.p_value())


@given(st.floats(0, 1), st.floats(0.01, 1), st.floats(0, 1), st.integers(2, 10))
def test_the_interval_is_never_narrower_than_that_over_seeds(
    seeds: float, patients: float, noise: float, num: int
) -> None:
    below, above = reach([spread(seeds, patients, noise, num)], 0.025)
    floor = stats.t.ppf(0.975, num - 1) * np.sqrt(seeds)
    assert below == above
    assert below >= floor * (1 - 1e-12)
    if noise > seeds:  # nothing but patients is left
        assert below == pytest.approx(max(floor, stats.t.ppf(0.975, 50) * np.sqrt(patients)))


@given(st.floats(-3, 3), st.floats(-2, 2), st.sampled_from([0.0, 0.4, -0.4]), st.floats(0.02, 0.3))
@settings(max_examples=20, deadline=None)
def test_p_values_are_the_levels_at_which_an_end_is_reached(
    estimate: float, null: float, skewness: float, alpha: float
) -> None:
    effect = Effect(estimate, (spread(0.2, 0.3, 0.1, skewness=skewness), spread(0.1, 0.1, 0.05)))
    ends = effect.interval(1 - 2 * alpha)
    assert effect.p_value(ends.low, "greater") == pytest.approx(alpha)
    assert effect.p_value(ends.high, "less") == pytest.approx(alpha)
    assert effect.p_value(effect.interval(1 - 2 * alpha).low) == pytest.approx(2 * alpha)
    both = effect.p_value(null, "greater") + effect.p_value(null, "less")
    assert both == pytest.approx(1)
    assert effect.p_value(null) == pytest.approx(2 * min(effect.p_value(null, "greater"), effect.p_value(null, "less")))


def test_rare_hits_move_the_end_towards_the_tail_outwards() -> None:
    """A mean of few large gains may well be higher than it looks."""
    straight = Effect(0.0, (spread(0.0, 0.01, 0.0),)).interval(0.9)
    skewed = Effect(0.0, (spread(0.0, 0.01, 0.0, skewness=0.5),)).interval(0.9)
    # the equation of Hall's transformation: x + g x^2 / 3 + g^2 x^3 / 27 + g / 6 = -t, for the distance x of the truth in errors
    x = -skewed.high / 0.1
    assert x + 0.5 * x**2 / 3 + 0.25 * x**3 / 27 + 0.5 / 6 == pytest.approx(-stats.t.ppf(0.95, 50))
    assert skewed.low == pytest.approx(straight.low) == pytest.approx(-0.1 * stats.t.ppf(0.95, 50))
    mirrored = Effect(0.0, (spread(0.0, 0.01, 0.0, skewness=-0.5),)).interval(0.9)
    assert (mirrored.low, mirrored.high) == pytest.approx((-skewed.high, -skewed.low))


@given(st.floats(-1, 1), st.floats(0.001, 0.5), st.floats(1, 100), st.integers(1, 10))
def test_skewness_never_makes_an_interval_narrower(skewness: float, alpha: float, df: float, seeds: int) -> None:
    plain, corrected = (reach([spread(0.01, 0.02, 0.005, seeds, df, own)], alpha) for own in (0.0, skewness))
    assert all(after >= before * (1 - 1e-12) for before, after in zip(plain, corrected, strict=True))


def test_the_interval_covers_where_hits_are_rare() -> None:
    """Thirty patients, of whom few have a region with a score: without the correction, 92 % of intervals cover the truth."""
    world = World(score="rare", patients=30, effects=(0.0, 0.8))
    truth = truth_of(world, "patients")
    found = of_world(world, 1000, seed=11)["patients"]
    plain = replace(found, spread=replace(found.spread, skewness=np.zeros(1000)))
    assert plain.coverage(truth) < 0.94 - 2 * np.sqrt(0.05 * 0.95 / 1000) < 0.94 < found.coverage(truth)


@pytest.mark.parametrize("value", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("seeds", [1, 3])
def test_equal_differences_prove_nothing(value: float, seeds: int) -> None:
    """Thirty patients without a difference do not exclude one in ten with one."""
    effect = one_region_each(np.full((seeds, 30), value))
    assert effect.estimate == pytest.approx(value)
    assert np.isnan([effect.interval().low, effect.p_value(), effect.p_value(-0.1, "greater")]).all()
    assert np.isnan(paired_effect_size(np.full(5, value)))


def test_seven_patients_are_too_few_for_an_interval() -> None:
    values = np.random.default_rng(2).normal(0, 1, (3, 8))
    assert np.isnan(one_region_each(values[:, :7]).interval().low)
    assert np.isfinite(one_region_each(values).interval().low)


def test_half_widths_of_independent_effects_add_as_squares() -> None:
    first, second = Effect(0.3, (spread(0.04, 0.02, 0.01, 3),)), Effect(0.1, (spread(0.01, 0.05, 0.0, 5, 20.0),))
    both = independent_sum((first, second), (0.5, -1.0))
    halves = [own.interval().high - own.estimate for own in (first, second)]
    assert both.estimate == pytest.approx(0.05)
    assert both.interval().high - both.estimate == pytest.approx(np.hypot(0.5 * halves[0], halves[1]))
    assert both.num_seeds == 3
    single = one_region_each(np.random.default_rng(5).normal(0, 1, (1, 30)))
    with pytest.raises(ValueError, match="single run"):
        independent_sum((single, first), (1.0, -1.0))
    assert independent_sum((Effect(0.1, ()), first), (1.0, 1.0)).parts == ()


def test_t_interval_and_effect_size_have_their_closed_forms() -> None:
    values = np.array([0.1, 0.2, 0.4])
    half = stats.t.ppf(0.975, 2) * values.std(ddof=1) / np.sqrt(3)
    interval = t_interval(values)
    assert (interval.low, interval.high) == pytest.approx((values.mean() - half, values.mean() + half))
    assert paired_effect_size(values) == pytest.approx(values.mean() / values.std(ddof=1) * (1 - 3 / 7))
    # the correction for two units is zero: a size of 0.000 beside a clear difference would mislead
    assert np.isnan(paired_effect_size(values[:2]))
    assert np.isnan(t_interval(values[:1]).low)
