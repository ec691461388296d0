"""Known answers: on tables whose truth is known, the procedure is right as often as it says, within Monte Carlo error."""

import numpy as np
import pytest

from mmpkd.statistics.effects import effect_of
from mmpkd.statistics.estimands import AVERAGES, Average, Regions, run_means
from mmpkd.statistics.hypotheses import equivalence_p_value
from mmpkd.statistics.simulation.__main__ import SECTIONS, main
from mmpkd.statistics.simulation.claims import promise_of
from mmpkd.statistics.simulation.intervals import collapse_of_world, of_world
from mmpkd.statistics.simulation.judged import averages_of, judged, truth_of
from mmpkd.statistics.simulation.worlds import World, draw

TABLES = 200


@pytest.mark.parametrize("average", AVERAGES)
def test_many_tables_at_once_give_what_a_study_computes_of_each(average: Average) -> None:
    world = World(seeds=3, patients=20, score="pointing")
    tables = draw(world, 2, np.random.default_rng(0))
    difference = tables.scores[1] - tables.scores[0]
    found = judged(averages_of(tables, difference, world, average))
    for table in range(2):
        own = tables.patient // 20 == table
        regions = Regions(tables.patient[own] - 20 * table, tables.finding[own])
        alone = effect_of(run_means(difference[:, own], regions, average))
        assert found.estimate[table] == pytest.approx(alone.estimate)
        assert found.p_values()[table] == pytest.approx(alone.p_value())
        assert found.ends(0.05)[0][table] == pytest.approx(alone.interval(0.9).low)


def test_moving_a_table_is_the_false_equivalence_of_the_moved_one() -> None:
    """Equivalence is claimed of a difference at the margin exactly where the simulation counts it."""
    world = World(seeds=5, patients=20)
    tables = draw(world, 40, np.random.default_rng(1))
    runs = averages_of(tables, tables.scores[1] - tables.scores[0], world, "patients")
    found = judged(runs)
    margin = 4 * float(np.median(np.sqrt(found.spread.variance)))
    claims = {1: 0, -1: 0}
    for side in claims:
        for table in range(40):
            regions = Regions(np.arange(20), np.zeros(20, np.int64))
            patients = runs.values[table][:, None] * 20 - 19 * runs.without[table]  # mean of each patient
            effect = effect_of(run_means(patients + side * margin, regions, "patients"))
            claims[side] += equivalence_p_value(effect, margin) < 0.05
    assert found.false_equivalence(0.0) == pytest.approx(max(claims.values()) / 40)


@pytest.mark.parametrize("world", [World(), World(patients=30, sizes="heavy"), World(seeds=2)], ids=str)
def test_rates_are_nominal_within_monte_carlo_error(world: World) -> None:
    found = of_world(world, TABLES)["patients"]
    error = np.sqrt(0.05 * 0.95 / TABLES)
    assert found.coverage(0.0) >= 0.95 - 3 * error
    assert found.false_equivalence(0.0) <= 0.06 + 3 * error


def test_arms_that_are_alike_do_not_differ_and_others_do() -> None:
    world = World(seeds=2, patients=2000)
    tables = draw(world, 4, np.random.default_rng(2))
    difference = tables.scores[1] - tables.scores[0]
    assert averages_of(tables, difference, world, "patients").values.mean() == pytest.approx(0, abs=0.05)
    assert truth_of(world, "patients") == 0
    better = World(effects=(0.0, 0.5))
    found = of_world(better, 60)["patients"].estimate
    assert truth_of(better, "patients") == pytest.approx(found.mean(), abs=4 * found.std() / np.sqrt(60))


def test_runs_that_localize_are_compared_where_others_collapse() -> None:
    found = collapse_of_world(World(patients=60, collapse=(0.4, 0.1)), 100)
    assert found.any_collapsed > 0.8
    assert 0.4 < found.enough < 0.8
    assert found.coverage > 0.95 - 3 * np.sqrt(0.05 * 0.95 / 50)


def test_a_plan_from_upper_limits_has_the_power_that_it_promises() -> None:
    found = promise_of(World(patients=60), 5, 5, 100)
    assert found.median_power > 0.8 > found.median_as_it_is - 0.05
    assert found.too_small < 0.45


def test_the_command_prints_each_table(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--tables", "8", "--only", "sums", "looks", "one seed", "findings"])
    out = capsys.readouterr().out
    for section in SECTIONS:
        assert (f"\n{section.name}\n" in out) == (section.name in ("sums", "looks", "one seed", "findings"))
    assert "8 tables; Monte Carlo standard error" in out
