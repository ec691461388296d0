"""Tests of declared hypotheses: differences, equivalence, and families of either."""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from mmpkd.statistics.arrays import Floats
from mmpkd.statistics.effects import MIN_SEEDS, Effect

Verdict = Literal["higher", "lower", "equivalent", "not shown", "no claim"]
# two runs can agree by chance
MIN_SEEDS_OF_A_CLAIM = 3
# patients with a difference: from fewer, equivalence was claimed falsely in up to 10 % of simulated studies with rare hits
MIN_DIFFERING = 30


def verdict(effect: Effect, margin: float | None = None, alpha: float = 0.05) -> Verdict:
    """Return the verdict on an effect.

    Args:
        effect: Difference between two arms.
        margin: Smallest difference that matters, or None.
        alpha: Level of the two-sided test of a difference, and of each of the two one-sided tests of equivalence.

    Returns:
        `equivalent` wins over `higher` and `lower`, because a difference within the margin does not matter. Nothing is claimed
        from fewer than three runs, and no equivalence from fewer than five.

    Example:
        >>> from mmpkd.statistics.spread import Spread
        >>> spread = Spread(5, *map(np.asarray, (1e-4, 1e-4, 0.0, 99.0, 0.0)))
        >>> verdict(Effect(0.1, (spread,))), verdict(Effect(0.01, (spread,)), margin=0.1)
        ('higher', 'equivalent')
    """
    if effect.num_seeds < MIN_SEEDS_OF_A_CLAIM:
        return "no claim" if effect.parts else "not shown"
    if margin is not None and effect.num_seeds >= MIN_SEEDS and equivalence_p_value(effect, margin) < alpha:
        return "equivalent"
    if effect.p_value() < alpha:
        return "higher" if effect.estimate > 0 else "lower"
    return "not shown"


def equivalence_p_value(effect: Effect, margin: float) -> float:
    """Return the p-value of two one-sided tests (TOST; Schuirmann 1987, https://doi.org/10.1007/BF01068419).

    It is below .05 if and only if the 90 % interval lies within ± margin.

    Args:
        effect: Difference between two arms.
        margin: Smallest difference that matters, > 0.

    Example:
        >>> from mmpkd.statistics.spread import Spread
        >>> spread = Spread(5, *map(np.asarray, (1e-4, 1e-4, 0.0, 99.0, 0.0)))
        >>> equivalence_p_value(Effect(0.0, (spread,)), 0.05) < 0.05 < equivalence_p_value(Effect(0.04, (spread,)), 0.05)
        True
    """
    return max(effect.p_value(-margin, "greater"), effect.p_value(margin, "less"))


def holm(p_values: Sequence[float]) -> Floats:
    """Return p-values adjusted for their number (Holm 1979, https://www.jstor.org/stable/4615733).

    Args:
        p_values: (m,) p-values of one family; NaN counts as a hypothesis that is not rejected.

    Returns:
        (m,) adjusted p-values in [0, 1], NaN where they were NaN. Rejecting all below .05 makes any false rejection with a
        probability of at most .05.

    Example:
        >>> holm([0.01, 0.04, 0.03]).tolist()
        [0.03, 0.06, 0.06]
    """
    values = np.asarray(p_values, dtype=np.float64)
    # a test that could not be done still counts: a smaller family would be corrected less
    filled = np.where(np.isnan(values), 1.0, values)
    order = np.argsort(filled, kind="stable")
    steps = filled[order] * (len(values) - np.arange(len(values)))
    adjusted = np.empty(len(values))
    # Holm stops at the first hypothesis that is kept, so no later one may get a smaller p-value
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return np.where(np.isnan(values), np.nan, adjusted)


def gated(is_open: bool, family: Sequence[float]) -> Floats:
    """Return the p-values of a family behind a gate: its members can be claimed only if the endpoint is claimed.

    Both steps together make any false claim with a probability of at most .05 (Maurer, Hothorn and Lehmacher 1995).

    Args:
        is_open: Whether a difference in the endpoint is claimed.
        family: (m,) p-values.

    Returns:
        (m,) p-values after Holm's correction, or all 1 if the gate is closed.

    Example:
        >>> gated(True, [0.02, 0.5]).tolist(), gated(False, [0.02, 0.5]).tolist()
        ([0.04, 0.5], [1.0, 1.0])
    """
    adjusted = holm(family)
    return adjusted if is_open else np.where(np.isnan(adjusted), np.nan, 1.0)
