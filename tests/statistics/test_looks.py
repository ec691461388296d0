"""Boundaries of planned looks."""

import numpy as np
import pytest
from scipy import stats

from mmpkd.statistics.looks import level_at, look_levels


def test_the_boundaries_are_those_of_the_tables() -> None:
    """Jennison and Turnbull 2000, table 2.3: O'Brien-Fleming constants for equal steps and a level of 5 %."""
    for looks, constant in ((2, 1.977), (3, 2.004), (4, 2.024), (5, 2.040)):
        levels = look_levels(tuple(range(1, looks + 1)))
        assert levels[looks] == pytest.approx(2 * stats.norm.sf(constant), abs=5e-5)
        assert levels[1] == pytest.approx(2 * stats.norm.sf(constant * np.sqrt(looks)), rel=0.02)
    levels = look_levels((5, 6, 7, 8, 9, 10))
    assert list(levels.values()) == pytest.approx([0.0032, 0.0071, 0.0127, 0.0197, 0.0279, 0.0370], abs=4e-4)


def test_one_look_is_no_correction_and_between_looks_nothing_is_claimed() -> None:
    assert look_levels((5,))[5] == pytest.approx(0.05)
    assert level_at((5, 10), 7) is None
    with pytest.raises(ValueError, match="increasing"):
        look_levels((10, 5))


def test_a_walk_leaves_the_boundaries_as_often_as_it_may() -> None:
    rng = np.random.default_rng(0)
    steps = rng.normal(size=(200_000, 10)).cumsum(axis=1)
    levels = look_levels((5, 7, 10))
    crossed = [2 * stats.norm.sf(np.abs(steps[:, num - 1]) / np.sqrt(num)) < level for num, level in levels.items()]
    assert np.any(crossed, axis=0).mean() == pytest.approx(0.05, abs=0.0015)
