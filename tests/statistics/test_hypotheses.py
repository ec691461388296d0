from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from mmpkd.statistics.effects import Effect
from mmpkd.statistics.hypotheses import equivalence_p_value, holm, minimum_detectable_effect, power, verdict


@pytest.mark.parametrize(
    ("estimate", "margin", "expected"),
    [
        (0.3, None, "higher"),
        (-0.3, None, "lower"),
        (0.1, None, "not shown"),
        (0.0, 0.3, "equivalent"),
        (0.3, 0.1, "higher"),
        (0.3, 1.0, "equivalent"),  # real, and too small to matter
        (0.1, 0.15, "not shown"),
    ],
)
def test_verdicts(estimate: float, margin: float | None, expected: str) -> None:
    assert verdict(Effect(estimate, 0.1, 10.0), margin) == expected


@given(st.floats(-0.5, 0.5), st.floats(0.01, 0.3), st.floats(2, 50), st.floats(0.05, 0.5))
def test_equivalence_is_that_the_inner_interval_lies_within_the_margin(
    estimate: float, error: float, df: float, margin: float
) -> None:
    effect = Effect(estimate, error, df)
    inner = effect.interval(0.9)
    room = min(inner.low + margin, margin - inner.high)
    if abs(room) > 1e-9:
        assert (equivalence_p_value(effect, margin) < 0.05) == (room > 0)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_holm_is_the_closed_test_of_bonferroni(values: list[float]) -> None:
    """A hypothesis is rejected if Bonferroni's test rejects every intersection that it belongs to."""
    expected = np.zeros(len(values))
    for size in range(1, len(values) + 1):
        for subset in combinations(range(len(values)), size):
            bonferroni = min(1.0, size * min(values[i] for i in subset))
            expected[list(subset)] = np.maximum(expected[list(subset)], bonferroni)
    assert holm(values) == pytest.approx(expected)


def test_a_comparison_without_a_p_value_still_counts() -> None:
    adjusted = holm([0.02, float("nan")])
    assert adjusted[0] == pytest.approx(0.04)
    assert np.isnan(adjusted[1])


def test_power_is_what_a_simulation_gives() -> None:
    rng = np.random.default_rng(0)
    samples = rng.normal(0.5, 1, (20_000, 12))
    p = stats.ttest_1samp(samples, 0, axis=1).pvalue
    assert power(Effect(0.0, 1 / np.sqrt(12), 11), 0.5) == pytest.approx((p < 0.05).mean(), abs=0.01)


@pytest.mark.parametrize("df", [2.0, 4.0, 30.0])
def test_half_of_all_studies_state_a_larger_and_half_a_smaller_detectable_effect(df: float) -> None:
    rng = np.random.default_rng(0)
    errors = 0.05 * np.sqrt(rng.chisquare(df, 20_000) / df)
    stated = minimum_detectable_effect(Effect(0.7, float(np.median(errors)), df))
    assert power(Effect(0.7, 0.05, df), stated) == pytest.approx(0.8, abs=0.01)
    half = minimum_detectable_effect(Effect(0.7, float(np.median(errors)), df), 0.5)
    assert power(Effect(0.7, 0.05, df), half) == pytest.approx(0.5, abs=0.01)


def test_the_detectable_effect_of_a_known_error_is_in_closed_form() -> None:
    found = minimum_detectable_effect(Effect(0.7, 0.05, float("inf")))
    assert found == pytest.approx(0.05 * (stats.norm.ppf(0.975) + stats.norm.ppf(0.8)), abs=1e-5)
    assert np.isnan(minimum_detectable_effect(Effect(0.7, float("nan"), 4.0)))
