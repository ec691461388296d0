"""Collapsed runs, which do not localize at all: how many there were, and how many more there may be."""

from dataclasses import dataclass

from scipy import stats

from mmpkd.statistics.arrays import Floats

# pairs of runs that localize; fewer can agree by chance, as in `MIN_SEEDS_OF_A_CLAIM`
MIN_PAIRS = 3


@dataclass(frozen=True)
class Collapse:
    """The runs of two arms that do not localize better than the best baseline map.

    Attributes:
        arm: (S,) whether each run of the arm collapsed.
        reference: (S,) whether each run of the reference collapsed.
    """

    arm: tuple[bool, ...]
    reference: tuple[bool, ...]

    @property
    def happened(self) -> bool:
        """Whether any run of either arm collapsed."""
        return any(self.arm) or any(self.reference)

    @property
    def localizing(self) -> tuple[bool, ...]:
        """Whether both runs of each pair localize."""
        pairs = zip(self.arm, self.reference, strict=True)
        return tuple(not (first or second) for first, second in pairs)

    @property
    def p_value(self) -> float:
        """p-value of Fisher's exact test, two-sided, of the hypothesis that both arms collapse equally often.

        Example:
            >>> Collapse((True,) * 5, (False,) * 5).p_value  # 2 of the 252 ways to choose five of ten
            0.0079
        """
        table = [[sum(own), len(own) - sum(own)] for own in (self.arm, self.reference)]
        return float(stats.fisher_exact(table).pvalue)


def collapse_of(arm: Floats, reference: Floats, floor: float) -> Collapse:
    """Return which runs score no better than the best baseline map.

    Args:
        arm: (S,) mean score of each run of the arm.
        reference: (S,) mean score of each run of the reference.
        floor: Score of that map on the same regions; NaN if none was scored, and then no run counts as collapsed.

    Example:
        >>> import numpy as np
        >>> collapse_of(np.array([0.3, 0.1]), np.array([0.2, 0.2]), 0.1).localizing
        (True, False)
    """
    return Collapse(tuple((arm <= floor).tolist()), tuple((reference <= floor).tolist()))


def may_collapse(num_runs: int, alpha: float = 0.05) -> float:
    """Return the upper limit of the share of runs that collapse, if none of S runs did: 1 - alpha^(1/S).

    Example:
        >>> [round(may_collapse(num), 2) for num in (2, 3, 5, 10)]
        [0.78, 0.63, 0.45, 0.26]
    """
    # the share p at which no collapse in S runs still has the probability alpha: (1 - p)^S = alpha
    return float(1 - alpha ** (1 / num_runs))
