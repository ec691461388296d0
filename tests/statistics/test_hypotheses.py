from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmpkd.statistics.effects import Effect
from mmpkd.statistics.hypotheses import equivalence_p_value, gated, holm, verdict
from mmpkd.statistics.spread import Spread


def effect(estimate: float, seeds: int = 5, error: float = 0.1, skewness: float = 0.0) -> Effect:
    parts = (error**2 / 2, error**2 / 2, 0.0, 99.0, skewness)
    return Effect(estimate, (Spread(seeds, *map(np.asarray, parts)),))


@pytest.mark.parametrize(
    ("estimate", "margin", "seeds", "expected"),
    [
        (0.3, None, 5, "higher"),
        (-0.3, None, 5, "lower"),
        (0.1, None, 5, "not shown"),
        (0.0, 0.3, 5, "equivalent"),
        (0.3, 0.1, 5, "higher"),
        (0.3, 1.0, 5, "equivalent"),  # real, and too small to matter
        (0.1, 0.15, 5, "not shown"),
        (0.0, 0.5, 4, "not shown"),  # no equivalence from four runs
        (0.9, None, 3, "higher"),
        (9.0, None, 2, "no claim"),
        (9.0, None, 1, "no claim"),
    ],
)
def test_verdicts(estimate: float, margin: float | None, seeds: int, expected: str) -> None:
    assert verdict(effect(estimate, seeds), margin) == expected


def test_a_verdict_at_a_look_needs_more() -> None:
    found = effect(0.3)
    assert 0.005 < found.p_value() < 0.05
    assert verdict(found, alpha=0.005) == "not shown"


@given(st.floats(-0.5, 0.5), st.floats(0.01, 0.3), st.floats(-0.8, 0.8), st.floats(0.05, 0.5))
@settings(max_examples=25, deadline=None)
def test_equivalence_is_that_the_inner_interval_lies_within_the_margin(
    estimate: float, error: float, skewness: float, margin: float
) -> None:
    found = effect(estimate, 5, error, skewness)
    inner = found.interval(0.9)
    room = min(inner.low + margin, margin - inner.high)
    if abs(room) > 1e-9:
        assert (equivalence_p_value(found, margin) < 0.05) == (room > 0)


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


def test_a_closed_gate_silences_the_family() -> None:
    assert gated(False, [0.001, float("nan")]).tolist()[0] == 1.0
    assert np.isnan(gated(False, [0.001, float("nan")])[1])
    assert gated(True, [0.001, 0.04]).tolist() == holm([0.001, 0.04]).tolist()
