"""Tests of declared hypotheses: difference, equivalence, families of both, and what could have been found."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

import numpy as np
from scipy import optimize, stats

from mmpkd.statistics.effects import Effect
from mmpkd.statistics.resampling import Floats

Verdict = Literal["higher", "lower", "equivalent", "not shown"]


def verdict(effect: Effect, margin: float | None = None) -> Verdict:
    """Judge an effect at the 5 % level.

    Args:
        effect: Difference.
        margin: Smallest difference that matters, or None.

    Returns:
        Equivalence goes before a difference: a difference within the margin does not matter.
    """
    if margin is not None and equivalence_p_value(effect, margin) < 0.05:
        return "equivalent"
    interval = effect.interval()
    if interval.excludes_zero:
        return "higher" if interval.low > 0 else "lower"
    return "not shown"


def equivalence_p_value(effect: Effect, margin: float) -> float:
    """Return the p-value of two one-sided tests (TOST; Schuirmann 1987, https://doi.org/10.1007/BF01068419).

    Below .05 exactly if the 90 % interval lies within -margin and margin.

    Args:
        effect: Difference.
        margin: Smallest difference that matters, > 0.
    """
    return max(effect.p_value(-margin, "greater"), effect.p_value(margin, "less"))


def holm(p_values: Sequence[float]) -> Floats:
    """Return p-values adjusted for their number (Holm 1979, https://www.jstor.org/stable/4615733).

    Args:
        p_values: (m,) p-values of one family; a NaN counts as a hypothesis that is not rejected.

    Returns:
        (m,) in [0, 1]: below .05 where rejected with a probability <= .05 of any false rejection; NaN where it was.
    """
    values = np.asarray(p_values, dtype=np.float64)
    filled = np.where(np.isnan(values), 1.0, values)
    order = np.argsort(filled, kind="stable")
    steps = filled[order] * (len(values) - np.arange(len(values)))
    adjusted = np.empty(len(values))
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return np.where(np.isnan(values), np.nan, adjusted)


def power(effect: Effect, difference: float, alpha: float = 0.05) -> float:
    """Return the probability that a study whose standard error is truly this one shows a true difference.

    Args:
        effect: An effect, for its standard error and degrees of freedom.
        difference: True difference.
        alpha: Level of the two-sided test.
    """
    if not effect.error > 0:
        return float("nan")
    shift = difference / effect.error
    critical = _critical_values(effect.df, alpha)
    return float(np.mean(stats.norm.sf(critical - shift) + stats.norm.cdf(-critical - shift)))


def minimum_detectable_effect(effect: Effect, wanted_power: float = 0.8, alpha: float = 0.05) -> float:
    """Return the smallest true difference that a study like this one shows with a probability of 80 %.

    Args:
        effect: An effect, for `Effect.typical`; its estimate has no part in this.
        wanted_power: Probability.
        alpha: Level of the two-sided test.

    Returns:
        Difference > 0; NaN where there is no standard error. About half of all such studies state less than is true.
    """
    if not effect.error > 0:
        return float("nan")
    typical = Effect(effect.estimate, effect.typical.error, effect.typical.df)

    def missing(num_errors: float) -> float:
        return power(typical, num_errors * typical.error, alpha) - wanted_power

    upper = 1.0
    while missing(upper) < 0:
        upper *= 2  # a few degrees of freedom need dozens of standard errors
    return float(optimize.brentq(missing, 0.0, upper, xtol=1e-6)) * typical.error


@lru_cache(maxsize=1)
def _critical_values(df: float, alpha: float) -> Floats:
    """Return what an estimate must exceed, in true standard errors, for each of what the estimated one may come out as."""
    if not np.isfinite(df):
        return np.asarray([stats.norm.ppf(1 - alpha / 2)])
    # 4,000 quantiles: SciPy's noncentral t is NaN for few degrees of freedom
    spread = np.sqrt(stats.chi2.ppf((np.arange(4000) + 0.5) / 4000, df) / df)
    return np.asarray(stats.t.ppf(1 - alpha / 2, df) * spread)
