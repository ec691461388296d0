"""Whether a difference differs between findings."""

import numpy as np
import pytest

from mmpkd.statistics.arrays import Floats
from mmpkd.statistics.estimands import CellMeans, Regions, region_cells
from mmpkd.statistics.heterogeneity import heterogeneity


def cells(effects: "list[float]", seeds: int = 5, seed: int = 0) -> CellMeans:
    """Return means by finding of forty patients with a region of each; runs deviate by finding."""
    rng = np.random.default_rng(seed)
    num = len(effects)
    patient, finding = np.repeat(np.arange(40), num), np.tile(np.arange(num), 40)
    runs: Floats = rng.normal(0, 0.02, (seeds, num))
    values = np.array(effects)[finding] + runs[:, finding] + rng.normal(0, 0.1, (seeds, len(patient)))
    return region_cells(values, Regions(patient, finding), "findings")


def test_findings_that_differ_are_named_with_their_side() -> None:
    found = heterogeneity(cells([0.0, 0.0, 0.0, 0.5, -0.3]))
    assert found.p_value < 0.05
    assert {own.finding for own in found.differing} >= {3, 4}
    assert [own.effect.estimate > 0 for own in found.deviations[3:]] == [True, False]
    assert sum(own.effect.estimate for own in found.deviations) == pytest.approx(0)


def test_two_findings_are_one_test() -> None:
    found = heterogeneity(cells([0.0, 0.02]))
    assert [own.adjusted for own in found.deviations] == [own.effect.p_value() for own in found.deviations]
    assert found.deviations[0].adjusted == pytest.approx(found.deviations[1].adjusted)


def test_equal_findings_are_seldom_told_apart() -> None:
    """At most 5 % (100 tables, three standard errors); that of the published simulation is in docs/statistics.md."""
    claims = [heterogeneity(cells([0.1, 0.1, 0.1, 0.1], seed=seed)).p_value < 0.05 for seed in range(100)]
    assert np.mean(claims) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 100)
    assert any(claims)


def test_few_runs_and_few_patients_tell_nothing() -> None:
    assert heterogeneity(cells([0.0, 1.0], seeds=2)).deviations == ()
    patient, finding = np.append(np.arange(20), np.arange(4)), np.repeat([0, 1], [20, 4])
    values = np.random.default_rng(0).normal(0, 1, (5, 24))
    rare = heterogeneity(region_cells(values, Regions(patient, finding), "findings"))
    assert rare.deviations == ()
    assert np.isnan(rare.p_value)
