"""Whether a difference varies between findings.

The difference of each finding is compared with the mean over findings, with the same interval as every other comparison, and
the p-values are corrected for their number (Holm). The test is as reliable as that interval, even with few runs. A joint test
would have to estimate a covariance of all findings from these few runs, and would not say which findings differ.
"""

from dataclasses import dataclass

import numpy as np

from mmpkd.statistics.arrays import Floats
from mmpkd.statistics.effects import Effect, effect_of
from mmpkd.statistics.estimands import MIN_FINDING_PATIENTS, CellMeans
from mmpkd.statistics.hypotheses import holm

# as many as any claim needs, see `MIN_SEEDS_OF_A_CLAIM`
MIN_SEEDS_TO_TEST = 3


@dataclass(frozen=True)
class Deviation:
    """The deviation of a finding's difference from the mean over findings.

    Attributes:
        finding: Index of the finding.
        effect: Difference of the finding minus the mean over findings.
        adjusted: p-value after Holm's correction for the number of findings.
    """

    finding: int
    effect: Effect
    adjusted: float


@dataclass(frozen=True)
class Heterogeneity:
    """Deviations of the findings from their mean difference, and a test of all of them.

    Attributes:
        deviations: One for each finding with enough patients.
    """

    deviations: tuple[Deviation, ...]

    @property
    def p_value(self) -> float:
        """p-value of the hypothesis that the difference is the same for all findings; NaN where it cannot be tested."""
        # the smallest is Bonferroni's p-value of the hypothesis that no finding deviates
        known = [own.adjusted for own in self.deviations if not np.isnan(own.adjusted)]
        return min(known, default=float("nan"))

    @property
    def differing(self) -> tuple[Deviation, ...]:
        """Findings whose difference deviates from the mean at the 5 % level."""
        return tuple(own for own in self.deviations if own.adjusted < 0.05)


def heterogeneity(cells: CellMeans) -> Heterogeneity:
    """Test whether a difference varies between findings.

    Args:
        cells: Mean difference of each of K findings in each of S runs.

    Returns:
        Deviations of the findings with at least five patients; none if there are fewer than two of them or fewer than three
        runs.

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
    # two findings deviate from their mean by the same amount, so their two tests are one
    adjusted = p_values if len(kept) == 2 else holm(p_values).tolist()
    found = zip(kept.tolist(), effects, adjusted, strict=True)
    return Heterogeneity(tuple(Deviation(finding, effect, p) for finding, effect, p in found))


def contrast(num_findings: int, kept: "np.ndarray[tuple[int], np.dtype[np.intp]]", own: int) -> Floats:
    """Return the coefficients (K,) of one finding minus the mean over the kept findings.

    Example:
        >>> contrast(3, np.array([0, 2]), 0).tolist()
        [0.5, 0.0, -0.5]
    """
    coefficients = np.zeros(num_findings)
    coefficients[kept] = -1 / len(kept)
    # the finding is part of the mean, too, so it ends at 1 - 1 / number kept
    coefficients[own] += 1
    return coefficients
