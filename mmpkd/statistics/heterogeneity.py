"""Does a difference differ between findings?

Each finding's difference is compared with the mean over findings, by the interval of every other comparison, and the p-values
are corrected for their number (Holm). The test holds its level as far as that interval does, for few runs too, where a joint
test would need the covariance of as many findings as there are runs; and it says which findings differ.
"""

from dataclasses import dataclass

import numpy as np

from mmpkd.statistics.arrays import Floats
from mmpkd.statistics.effects import Effect, effect_of
from mmpkd.statistics.estimands import MIN_FINDING_PATIENTS, CellMeans
from mmpkd.statistics.hypotheses import holm

MIN_SEEDS_TO_TEST = 3


@dataclass(frozen=True)
class Deviation:
    """How far the difference of a finding is from the mean over findings.

    Attributes:
        finding: Index of the finding.
        effect: Its difference minus the mean over findings.
        adjusted: p-value after Holm's correction for the number of findings.
    """

    finding: int
    effect: Effect
    adjusted: float


@dataclass(frozen=True)
class Heterogeneity:
    """Whether a difference differs between findings.

    Attributes:
        deviations: One for each finding that enough patients have.
    """

    deviations: tuple[Deviation, ...]

    @property
    def p_value(self) -> float:
        """p-value that the difference is the same for all findings; NaN where it cannot be told."""
        known = [own.adjusted for own in self.deviations if not np.isnan(own.adjusted)]
        return min(known, default=float("nan"))

    @property
    def differing(self) -> tuple[Deviation, ...]:
        """The findings whose difference is not the mean one, at the 5 % level."""
        return tuple(own for own in self.deviations if own.adjusted < 0.05)


def heterogeneity(cells: CellMeans) -> Heterogeneity:
    """Test whether a difference differs between findings.

    Args:
        cells: Mean difference of each of K findings in each of S runs.

    Returns:
        Deviations of findings; none if fewer than two have five patients or more, or there are fewer than three runs.

    Example:
        >>> import numpy as np
        >>> from mmpkd.statistics.estimands import Regions, region_cells
        >>> finding = np.tile([0, 1, 2], 40)
        >>> values = np.random.default_rng(0).normal(0.1 * (finding == 2), 0.02, (5, 120))
        >>> regions = Regions(np.repeat(np.arange(40), 3), finding)
        >>> [own.finding for own in heterogeneity(region_cells(values, regions, "findings")).differing]
        [0, 1, 2]
    """
    kept = np.flatnonzero(cells.num_patients >= MIN_FINDING_PATIENTS)
    if len(kept) < 2 or cells.values.shape[-2] < MIN_SEEDS_TO_TEST:
        return Heterogeneity(())
    effects = [effect_of(cells.combined(contrast(len(cells.num_patients), kept, own))) for own in kept.tolist()]
    p_values = [effect.p_value() for effect in effects]
    # of two findings one is as far above the mean as the other is below: a single test
    adjusted = p_values if len(kept) == 2 else holm(p_values).tolist()
    found = zip(kept.tolist(), effects, adjusted, strict=True)
    return Heterogeneity(tuple(Deviation(finding, effect, p) for finding, effect, p in found))


def contrast(num_findings: int, kept: "np.ndarray[tuple[int], np.dtype[np.intp]]", own: int) -> Floats:
    """Return the coefficients (K,) of one finding minus the mean over those that are kept."""
    coefficients = np.zeros(num_findings)
    coefficients[kept] = -1 / len(kept)
    coefficients[own] += 1
    return coefficients
