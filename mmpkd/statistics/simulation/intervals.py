"""Simulations of intervals and equivalence: ordinary and hard worlds, few seeds, collapsed runs, sums of effects."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mmpkd.statistics.collapse import MIN_PAIRS
from mmpkd.statistics.estimands import AVERAGES, Average, RunMeans
from mmpkd.statistics.simulation.judged import Judged, averages_of, batches, joined, judged, truth_of
from mmpkd.statistics.simulation.worlds import FLOOR, World
from mmpkd.statistics.spread import reach

Bools = NDArray[np.bool_]
ORDINARY = World()
WORLDS: dict[str, World] = {
    "ordinary, no difference": ORDINARY,
    "ordinary, with a difference": World(effects=(0.0, 0.5)),
    "runs alike": World(run_sd=0.0),
    "runs differ": World(run_sd=0.8),
    "findings differ, 60 patients": World(patients=60, finding_sd=1.0, finding_effect=1.0, run_by_finding_sd=0.2),
    "findings differ": World(finding_sd=1.0, finding_effect=1.0, run_by_finding_sd=0.2),
    "heavy sizes": World(sizes="heavy"),
    "heavy sizes, 60 patients": World(sizes="heavy", patients=60),
    "heavy sizes, 30 patients": World(sizes="heavy", patients=30),
    "informative heavy sizes": World(sizes="heavy", informative=0.5),
    "informative heavy sizes, 60 patients": World(sizes="heavy", informative=0.5, patients=60),
    "informative heavy sizes, 30 patients": World(sizes="heavy", informative=0.5, patients=30),
    "rare hits, 60 patients": World(score="rare", patients=60, effects=(0.0, 0.8)),
    "rare hits, 30 patients": World(score="rare", patients=30, effects=(0.0, 0.8)),
    "rare hits, 30 patients, no difference": World(score="rare", patients=30),
    "pointing game, 30 patients": World(score="pointing", patients=30, effects=(0.0, 0.5)),
    "2 seeds": World(seeds=2),
    "2 seeds, runs differ": World(seeds=2, run_sd=0.8),
    "3 seeds": World(seeds=3),
    "3 seeds, heavy sizes, 30 patients": World(seeds=3, sizes="heavy", patients=30),
    "10 seeds": World(seeds=10),
    "10 seeds, informative heavy sizes, 60 patients": World(seeds=10, sizes="heavy", informative=0.5, patients=60),
}
COLLAPSES = ((5, (0.4, 0.1)), (5, (0.1, 0.0)), (5, (0.2, 0.2)), (10, (0.4, 0.1)), (10, (0.1, 0.0)), (3, (0.3, 0.05)))
SUMS = {
    "5 and 5 seeds, 200 and 200 patients": (World(), World()),
    "5 and 5 seeds, 400 and 30 patients": (World(patients=400), World(patients=30)),
    "runs alike and runs that differ": (World(run_sd=0.1), World(run_sd=0.8)),
    "3 and 3 seeds, 200 and 60 patients": (World(seeds=3), World(seeds=3, patients=60)),
}


@dataclass(frozen=True)
class Collapsed:
    """Rates in [0, 1] for studies some of whose runs collapse.

    Attributes:
        any_collapsed: Rate at which any run of a study collapses.
        all_runs: Rate at which the interval over all runs covers the true mean over all runs.
        enough: Rate at which at least three pairs localize.
        coverage: Among these studies, rate at which the interval over pairs that localize covers the difference of such runs.
        false_equivalence: Among these studies, rate of claims of equivalence when the true difference is the margin.
    """

    any_collapsed: float
    all_runs: float
    enough: float
    coverage: float
    false_equivalence: float


def of_world(world: World, num: int, seed: int = 0) -> dict[Average, Judged]:
    """Return estimates and spreads of the tables of a world, by average."""
    found: dict[Average, list[Judged]] = {average: [] for average in AVERAGES}
    for tables in batches(world, num, seed):
        difference = tables.scores[1] - tables.scores[0]
        for average in AVERAGES:
            found[average].append(judged(averages_of(tables, difference, world, average)))
    return {average: joined(parts) for average, parts in found.items()}


def interval_rows(num: int) -> Iterator[list[object]]:
    """Yield coverage and false equivalence by average for each world."""
    for name, world in WORLDS.items():
        row: list[object] = [name, world.seeds, world.patients]
        for average, found in of_world(world, num).items():
            truth = truth_of(world, average)
            row += [found.coverage(truth), found.false_equivalence(truth)]
        yield row


def one_seed_rows(num: int) -> Iterator[list[object]]:
    """Yield how often the interval of a single pair of runs covers its own difference, and that of the method."""
    for patients in (200, 60, 30):
        # if runs do not differ, the difference of these two is that of the method: 0
        own = of_world(World(seeds=1, patients=patients, run_sd=0.0), num)["patients"]
        method = of_world(World(seeds=1, patients=patients), num)["patients"]
        yield [patients, own.coverage(0.0), method.coverage(0.0)]


def collapse_of_world(world: World, num: int, seed: int = 0) -> Collapsed:
    """Simulate studies some of whose runs collapse."""
    every: list[Judged] = []
    parts: dict[int, list[Judged]] = {}
    num_any = 0
    for tables in batches(world, num, seed):
        levels = [averages_of(tables, own, world, "patients").values for own in tables.scores]
        localizes = (levels[0] > FLOOR) & (levels[1] > FLOOR)  # (T, S)
        num_any += int((~localizes).any(axis=1).sum())
        runs = averages_of(tables, tables.scores[1] - tables.scores[0], world, "patients")
        every.append(judged(runs))
        # tables are judged together, which needs the same number of runs in each
        for pairs in range(MIN_PAIRS, world.seeds + 1):
            chosen = localizes.sum(axis=1) == pairs
            if chosen.any():
                parts.setdefault(pairs, []).append(judged(_of_pairs(runs, localizes, chosen, pairs)))
    groups = [joined(own) for own in parts.values()]
    sizes = np.array([len(own.estimate) for own in groups])
    truth = _truth_of_collapse(world)
    return Collapsed(
        any_collapsed=num_any / num,
        all_runs=joined(every).coverage(truth),
        enough=float(sizes.sum() / num),
        coverage=float(np.average([own.coverage(0.0) for own in groups], weights=sizes)),
        false_equivalence=float(np.average([own.false_equivalence(0.0) for own in groups], weights=sizes)),
    )


def _of_pairs(runs: RunMeans, localizes: Bools, chosen: Bools, pairs: int) -> RunMeans:
    """Return the averages of the runs that localize, for the tables with `pairs` such pairs."""
    # False sorts before True: runs that localize come first
    order = np.argsort(~localizes[chosen], axis=1, kind="stable")[:, :pairs]
    return RunMeans(
        values=np.take_along_axis(runs.values[chosen], order, axis=1),
        without=np.take_along_axis(runs.without[chosen], order[..., None], axis=1),
        weights=runs.weights[chosen],
    )


def _truth_of_collapse(world: World, seed: int = 7) -> float:
    """Return the true mean difference over all runs, if the arms collapse with different probabilities."""
    well = replace(world, seeds=10, collapse=(0.0, 0.0))
    levels = [averages_of(own, own.scores[0], well, "patients").values.mean() for own in batches(well, 200, seed)]
    # collapsed runs score nearly 0, so the arms differ by the shares that collapse, times the level of the others
    return float(np.mean(levels)) * (world.collapse[0] - world.collapse[1])


def collapse_rows(num: int) -> Iterator[list[object]]:
    """Yield rates for studies some of whose runs collapse."""
    for seeds, shares in COLLAPSES:
        found = collapse_of_world(World(seeds=seeds, collapse=shares), num)
        rates = (found.any_collapsed, found.all_runs, found.enough, found.coverage, found.false_equivalence)
        yield [f"{100 * shares[0]:.0f} % and {100 * shares[1]:.0f} %", seeds, *rates]


def sum_rows(num: int) -> Iterator[list[object]]:
    """Yield how often a contrast of two domains is claimed if there is none."""
    for name, worlds in SUMS.items():
        # domains share neither patients nor runs, hence a seed for each
        first, second = (of_world(world, num, seed)["patients"] for seed, world in enumerate(worlds))
        contrast = first.estimate - second.estimate
        below, above = reach([first.spread, second.spread.scaled(-1)], 0.025)
        yield [name, float(np.mean((contrast > below) | (-contrast > above)))]
