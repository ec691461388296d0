"""Simulations of claims: looks, families, findings that differ, and plans from a pilot."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mmpkd.statistics.arrays import Floats
from mmpkd.statistics.estimands import RunMeans
from mmpkd.statistics.heterogeneity import contrast
from mmpkd.statistics.hypotheses import gated, holm
from mmpkd.statistics.looks import look_levels
from mmpkd.statistics.planning import detectable_difference, planned_spread
from mmpkd.statistics.simulation.intervals import of_world
from mmpkd.statistics.simulation.judged import Judged, averages_of, batches, cells_of, joined, judged
from mmpkd.statistics.simulation.worlds import NUM_FINDINGS, World
from mmpkd.statistics.spread import Spread

PLANS = (tuple(range(5, 11)), (5, 10))
LOOKED_AT = {
    "ordinary, 100 patients": World(seeds=10, patients=100),
    "runs alike, 100 patients": World(seeds=10, patients=100, run_sd=0.0),
    "runs differ": World(seeds=10, run_sd=0.8),
    "heavy sizes, 30 patients": World(seeds=10, patients=30, sizes="heavy"),
}
# true effects of the reference, the endpoint's arm and the four arms of the family
FAMILIES: dict[str, tuple[float, ...]] = {
    "nothing is true": (0.0,) * 6,
    "the endpoint is true": (0.0, 0.5, 0.0, 0.0, 0.0, 0.0),
    "the endpoint and two members are true": (0.0, 0.5, 0.5, 0.5, 0.0, 0.0),
    "two members are true": (0.0, 0.0, 0.5, 0.5, 0.0, 0.0),
}
FINDINGS = {
    "no difference, findings of unequal difficulty": World(finding_sd=1.0),
    "the same, runs deviate by finding": World(finding_sd=1.0, run_by_finding_sd=0.3),
    "the same, 60 patients": World(patients=60, finding_sd=1.0, run_by_finding_sd=0.3),
    "the same, 3 seeds": World(seeds=3, finding_sd=1.0, run_by_finding_sd=0.3),
    "the same, 10 seeds": World(seeds=10, finding_sd=1.0, run_by_finding_sd=0.3),
    "the same, heavy sizes, 60 patients": World(patients=60, sizes="heavy", finding_sd=1.0, run_by_finding_sd=0.3),
    "effects differ between findings": World(finding_effect=1.0, run_by_finding_sd=0.1),
}
PILOTS = ((3, 5), (5, 5), (5, 10), (10, 10))
PILOTED = {
    "ordinary": World(),
    "runs differ": World(run_sd=0.8),
    "60 patients": World(patients=60),
    "rare hits, 60 patients": World(score="rare", patients=60),
}


@dataclass(frozen=True)
class Promise:
    """Rates in [0, 1] for studies that were planned from a pilot.

    Attributes:
        median_power: Median, over pilots, of the power at the detectable difference that the plan promised.
        too_small: Share of pilots whose plan has a power below 80 %.
        median_as_it_is: `median_power` of plans without upper limits of the variances.
    """

    median_power: float
    too_small: float
    median_as_it_is: float


def look_rows(num: int) -> Iterator[list[object]]:
    """Yield how often a difference is claimed at any look if there is none."""
    for name, world in LOOKED_AT.items():
        p_values = _p_values_by_seeds(world, num)
        row: list[object] = [name]
        for looks in PLANS:
            levels = look_levels(looks)
            claimed = [p_values[seeds] < level for seeds, level in levels.items()]
            row.append(float(np.any(claimed, axis=0).mean()))
        row.append(float(np.any([p_values[seeds] < 0.05 for seeds in PLANS[0]], axis=0).mean()))
        yield row


def _p_values_by_seeds(world: World, num: int) -> dict[int, Floats]:
    """Return the p-values (T,) from the first 5, 6, ... runs."""
    parts: dict[int, list[Judged]] = {seeds: [] for seeds in PLANS[0]}
    for tables in batches(world, num, 1):
        runs = averages_of(tables, tables.scores[1] - tables.scores[0], world, "patients")
        for seeds, found in parts.items():
            first = RunMeans(runs.values[:, :seeds], runs.without[:, :seeds], runs.weights)
            found.append(judged(first))
    return {seeds: joined(found).p_values() for seeds, found in parts.items()}


def family_rows(num: int) -> Iterator[list[object]]:
    """Yield how often any false claim is made about an endpoint and a family of four, and the power for the family."""
    for name, effects in FAMILIES.items():
        p_values = _p_values_by_arm(World(patients=100, effects=effects), num)
        is_true = np.array(effects[1:]) != 0
        rates = [_family_rates(p_values, is_true, own) for own in (_behind_gate, _holm_over_all)]
        yield [name, *rates[0], *rates[1]]


def _p_values_by_arm(world: World, num: int) -> Floats:
    """Return the p-values (T, A - 1) of the difference of each arm from the first one."""
    parts: list[list[Judged]] = [[] for _ in world.effects[1:]]
    for tables in batches(world, num, 2):
        for arm, found in enumerate(parts, start=1):
            difference = tables.scores[arm] - tables.scores[0]
            found.append(judged(averages_of(tables, difference, world, "patients")))
    return np.stack([joined(found).p_values() for found in parts], axis=1)


def _behind_gate(p_values: Floats) -> Floats:
    return np.append(p_values[0], gated(bool(p_values[0] < 0.05), p_values[1:].tolist()))


def _holm_over_all(p_values: Floats) -> Floats:
    return holm(p_values.tolist())


def _family_rates(
    p_values: Floats, is_true: NDArray[np.bool_], correct: Callable[[Floats], Floats]
) -> tuple[float, float]:
    """Return how often any false claim is made, and the share of the true members of the family that are claimed."""
    claimed = np.array([correct(own) < 0.05 for own in p_values])
    members = claimed[:, 1:][:, is_true[1:]]
    return float(claimed[:, ~is_true].any(axis=1).mean()), float(members.mean()) if members.size else float("nan")


def finding_rows(num: int) -> Iterator[list[object]]:
    """Yield how often the difference is claimed to vary between findings."""
    for name, world in FINDINGS.items():
        claims = []
        for tables in batches(world, num, 3):
            cells = cells_of(tables, tables.scores[1] - tables.scores[0], world, "findings")
            every = np.arange(NUM_FINDINGS)
            contrasts = np.stack([contrast(NUM_FINDINGS, every, own) for own in range(NUM_FINDINGS)])
            p_values = [judged(cells.combined(own)).p_values() for own in contrasts]
            claims.append(np.min(p_values, axis=0) * NUM_FINDINGS < 0.05)  # the first step of Holm's correction
        yield [name, float(np.concatenate(claims).mean())]


def promise_of(world: World, pilot_seeds: int, seeds: int, num: int) -> Promise:
    """Return the rates for studies that were planned from a pilot with the same number of patients."""
    studies = of_world(replace(world, seeds=seeds), num, 4)["patients"]
    pilots = of_world(replace(world, seeds=pilot_seeds), num // 2, 5)["patients"]
    # a true difference shifts estimates and leaves their spread, so the same studies give the power at every one
    deviation = studies.estimate - studies.estimate.mean()
    below = studies.estimate - studies.ends(0.025)[0]
    grid = np.linspace(0, 10 * np.median(below), 400)
    curve = [float(np.mean(deviation + difference > below)) for difference in grid]
    powers = {limit: np.interp(_promised(pilots, seeds, limit), grid, curve) for limit in (0.8, None)}
    return Promise(
        median_power=float(np.median(powers[0.8])),
        too_small=float(np.mean(powers[0.8] < 0.795)),
        median_as_it_is=float(np.median(powers[None])),
    )


def _promised(pilots: Judged, seeds: int, limit: float | None) -> Floats:
    """Return the detectable difference (T,) that each pilot promises."""
    own = pilots.spread
    parts = zip(own.seeds, own.patients, own.noise, own.df, own.skewness, strict=True)
    spreads = [Spread(own.num_seeds, *part) for part in parts]
    return np.array([detectable_difference([planned_spread(spread, seeds, limit=limit)]) for spread in spreads])


def promise_rows(num: int) -> Iterator[list[object]]:
    """Yield the power of studies at the differences that their pilots promised."""
    for name, world in PILOTED.items():
        for pilot, seeds in PILOTS:
            found = promise_of(world, pilot, seeds, num)
            yield [name, pilot, seeds, found.median_power, found.too_small, found.median_as_it_is]
