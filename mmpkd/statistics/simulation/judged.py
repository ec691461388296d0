"""Estimates and spreads of many simulated tables at once, computed with the code that studies use."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mmpkd.statistics.arrays import Floats
from mmpkd.statistics.estimands import Average, CellMeans, Regions, RunMeans, averaged, cell_means, cell_sums, run_means
from mmpkd.statistics.simulation.worlds import NUM_FINDINGS, Tables, World, draw
from mmpkd.statistics.spread import Spread, reach, spread_of, tail

# tables at a time, which limits memory
BATCH = 100
# so many that the truth's own sampling error is a 27th of that of a study with 200 patients
_PATIENTS_OF_THE_TRUTH = 150_000


@dataclass(frozen=True)
class Judged:
    """Results of T tables of a world.

    Attributes:
        estimate: (T,) estimates.
        spread: Spread of the estimates, with values (T,).
    """

    estimate: Floats
    spread: Spread

    def ends(self, alpha: float) -> tuple[Floats, Floats]:
        """Return the ends (T,) of the intervals, each of which is missed with probability `alpha`."""
        below, above = reach([self.spread], alpha)
        return self.estimate - below, self.estimate + above

    def p_values(self, truth: float = 0.0) -> Floats:
        """Return the two-sided p-values (T,) of the hypothesis of a true value."""
        distance = self.estimate - truth
        below, above = tail([self.spread], np.abs(distance))
        return 2 * np.where(distance > 0, below, above)

    def coverage(self, truth: float) -> float:
        """Return how often the 95 % interval covers the truth."""
        low, high = self.ends(0.025)
        return float(np.mean((low <= truth) & (truth <= high)))

    def false_equivalence(self, truth: float) -> float:
        """Return how often equivalence is claimed if the true difference is the margin, for the worse of its two signs.

        The margin is four median standard errors. Adding a difference to every region shifts the estimate without changing its
        spread, so the same tables serve for every true difference.
        """
        margin = 4 * float(np.median(np.sqrt(self.spread.variance)))
        low, high = (end - truth for end in self.ends(0.05))
        # the true difference is +margin: both ends, shifted by it, lie within ± margin
        upper = (high < 0) & (low > -2 * margin)
        lower = (low > 0) & (high < 2 * margin)
        return float(max(upper.mean(), lower.mean()))


def judged(runs: RunMeans) -> Judged:
    """Return estimates and spreads from the averages (T, S) of tables."""
    return Judged(runs.values.mean(axis=-1), spread_of(runs))


def joined(parts: Sequence[Judged]) -> Judged:
    """Concatenate the results of several batches of tables, which must have the same number of runs."""
    spreads = [own.spread for own in parts]
    spread = Spread(
        num_seeds=spreads[0].num_seeds,
        seeds=np.concatenate([own.seeds for own in spreads]),
        patients=np.concatenate([own.patients for own in spreads]),
        noise=np.concatenate([own.noise for own in spreads]),
        df=np.concatenate([own.df for own in spreads]),
        skewness=np.concatenate([own.skewness for own in spreads]),
    )
    return Judged(np.concatenate([own.estimate for own in parts]), spread)


def batches(world: World, num: int, seed: int) -> Iterator[Tables]:
    """Yield tables of a world in batches."""
    rng = np.random.default_rng(seed)
    for first in range(0, num, BATCH):
        yield draw(world, min(BATCH, num - first), rng)


def cells_of(tables: Tables, values: Floats, world: World, average: Average) -> CellMeans:
    """Return the means over patients of values (S, N), for each table."""
    total, count = cell_sums(values, Regions(tables.patient, tables.finding), tables.num * world.patients, NUM_FINDINGS)
    shape = (len(values), tables.num, world.patients, NUM_FINDINGS)
    by_table = [np.moveaxis(part.reshape(shape), 0, 1) for part in (total, count)]  # (T, S, P, F)
    return cell_means(by_table[0], by_table[1], average)


def averages_of(tables: Tables, values: Floats, world: World, average: Average) -> RunMeans:
    """Return the average of values (S, N) in each table and run."""
    return averaged(cells_of(tables, values, world, average), average)


def truth_of(world: World, average: Average, seed: int = 99) -> float:
    """Return the true difference of the second arm, over infinitely many patients and runs."""
    if not any(world.effects) and not world.informative and not world.finding_effect:
        return 0.0  # both arms have the same distribution
    many = replace(world, seeds=1, patients=_PATIENTS_OF_THE_TRUTH, collapse=(0.0, 0.0))
    tables = draw(many, 1, np.random.default_rng(seed), runs_by_patient=True)
    difference = tables.scores[1] - tables.scores[0]
    return float(run_means(difference, Regions(tables.patient, tables.finding), average).values[0])
