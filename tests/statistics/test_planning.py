"""What a study can show."""

import numpy as np
import pytest
from scipy import stats

from mmpkd.statistics.effects import Effect
from mmpkd.statistics.planning import detectable_difference, minimum_detectable_effect, planned_spread
from mmpkd.statistics.spread import Spread, reach


def spread(
    seeds: float, patients: float, noise: float, num_seeds: int = 5, df: float = 99.0, skewness: float = 0.0
) -> Spread:
    return Spread(num_seeds, *map(np.asarray, (seeds, patients, noise, df, skewness)))


def test_a_plan_of_the_same_size_is_the_pilot_with_its_variances_raised() -> None:
    pilot = spread(0.04, 0.02, 0.01)
    same = planned_spread(pilot, 5, limit=None)
    assert detectable_difference([same]) == pytest.approx(detectable_difference([pilot]))
    raised = planned_spread(pilot, 5)
    assert float(raised.seeds) == pytest.approx(0.04 * 4 / stats.chi2.ppf(0.2, 4))
    assert float(raised.patients - raised.noise) == pytest.approx(0.01 * 99 / stats.chi2.ppf(0.2, 99))
    assert float(raised.noise) == 0.01


@pytest.mark.parametrize(("seeds", "factor"), [(3, 4.48), (5, 2.43), (10, 1.67)])
def test_the_variance_of_few_runs_is_raised_most(seeds: int, factor: float) -> None:
    assert float(planned_spread(spread(1.0, 0.0, 0.0, seeds), seeds).seeds) == pytest.approx(factor, abs=0.01)


def test_more_seeds_and_more_patients_each_have_a_limit_of_their_own() -> None:
    pilot = spread(0.04, 0.03, 0.01)
    seeds = planned_spread(pilot, 10**9, limit=None)
    assert float(seeds.variance) == pytest.approx(0.02)  # what patients have in common over runs
    patients = planned_spread(pilot, 5, patients=1e9, limit=None)
    assert float(patients.variance) == pytest.approx(0.03)  # what runs have in common over patients


@pytest.mark.parametrize("skewness", [-0.5, 0.0, 0.5])
def test_a_detectable_difference_is_shown_whatever_its_sign(skewness: float) -> None:
    """A difference against the tail of skewed patients has the farther end of the interval to cross."""
    pilot = spread(0.04, 0.02, 0.01, skewness=skewness)
    planned = planned_spread(pilot, 5, limit=None)
    expected = max(float(end) for end in reach([pilot], 0.025)) + stats.norm.ppf(0.8) * np.sqrt(float(pilot.variance))
    assert detectable_difference([planned]) == pytest.approx(expected)
    # a mean over four times the patients is half as skewed
    assert float(planned_spread(pilot, 5, patients=4).skewness) == pytest.approx(skewness / 2)


def test_the_detectable_difference_is_shown_in_four_of_five_studies() -> None:
    """Runs and patients as in the plan: the interval excludes zero with a probability of 80 %."""
    rng = np.random.default_rng(0)
    seeds, patients, tables = 5, 30, 4000
    runs = rng.normal(0, 0.05, (tables, seeds, 1))
    values = runs + rng.normal(0, 0.2, (tables, 1, patients)) + rng.normal(0, 0.2, (tables, seeds, patients))
    true = spread(0.05**2 / 5 + 0.2**2 / 150, 0.2**2 / 30 + 0.2**2 / 150, 0.2**2 / 150, 5, 29.0)
    rows, columns = values.mean(axis=2), values.mean(axis=1)
    residual = values - rows[..., None] - columns[:, None] + values.mean(axis=(1, 2), keepdims=True)
    found = Spread(
        5,
        rows.var(axis=1, ddof=1) / 5,
        columns.var(axis=1, ddof=1) / 30,
        np.square(residual).sum(axis=(1, 2)) / (4 * 29 * 150),
        np.full(tables, 29.0),
        np.zeros(tables),
    )
    difference = detectable_difference([true])
    shown = values.mean(axis=(1, 2)) + difference - reach([found], 0.025)[0] > 0
    assert shown.mean() == pytest.approx(0.8, abs=0.03)


def test_a_pilot_of_two_runs_plans_nothing() -> None:
    with pytest.raises(ValueError, match="at least 3 seeds"):
        planned_spread(spread(0.04, 0.02, 0.01, 2), 5)
    assert np.isnan(minimum_detectable_effect(Effect(0.1, (spread(0.04, 0.02, 0.01, 2),))))
    assert np.isnan(minimum_detectable_effect(Effect(0.1, ())))
    assert minimum_detectable_effect(Effect(0.1, (spread(0.04, 0.02, 0.01, 3),))) > 0
