"""Runs that do not localize."""

from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmpkd.statistics.collapse import Collapse, collapse_of, may_collapse


def test_a_run_at_the_level_of_the_best_map_does_not_localize() -> None:
    found = collapse_of(np.array([0.2, 0.1, 0.3]), np.array([0.3, 0.3, 0.2]), 0.2)
    assert (found.arm, found.reference) == ((True, True, False), (False, False, True))
    assert found.localizing == (False, False, False)
    assert found.happened
    # without a map to compare with, no run is said to have collapsed
    assert not collapse_of(np.array([0.2]), np.array([0.3]), float("nan")).happened


@given(st.integers(0, 5), st.integers(0, 5))
def test_the_p_value_adds_the_tables_that_are_no_likelier(first: int, second: int) -> None:
    size = 5
    total = first + second
    ways = {k: comb(size, k) * comb(size, total - k) for k in range(max(0, total - size), min(size, total) + 1)}
    expected = sum(own for own in ways.values() if own <= ways[first]) / comb(2 * size, total)
    arms = [tuple(run < num for run in range(size)) for num in (first, second)]
    assert Collapse(*arms).p_value == pytest.approx(expected)


@pytest.mark.parametrize("num", [2, 3, 5, 10])
def test_none_of_so_many_runs_collapses_with_a_probability_of_five_percent(num: int) -> None:
    assert (1 - may_collapse(num)) ** num == pytest.approx(0.05)
