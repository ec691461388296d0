"""Confidence intervals."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

from mmpkd.statistics.resampling import Floats, SeedReplicates

IntervalMethod = Literal["crossed", "seeds", "bca", "bc"]


@dataclass(frozen=True)
class Interval:
    """A confidence interval.

    Attributes:
        low: Lower end; NaN where it is not defined.
        high: Upper end.
        method: How it was computed: Student's t for crossed seeds and patients (`crossed`) or for seeds alone (`seeds`); for
            a single run a bootstrap over patients, bias-corrected and accelerated (`bca`) or only bias-corrected (`bc`).
    """

    low: float
    high: float
    method: IntervalMethod

    @property
    def excludes_zero(self) -> bool:
        """Whether all of the interval lies on one side of zero."""
        return self.low > 0 or self.high < 0


def t_interval(seed_means: Floats, level: float = 0.95) -> Interval:
    """Return Student's interval of the mean over seeds; it holds for this test set only. NaN for fewer than two seeds."""
    n = len(seed_means)
    if n < 2:
        return Interval(np.nan, np.nan, "seeds")
    half = stats.t.ppf((1 + level) / 2, n - 1) * np.std(seed_means, ddof=1) / np.sqrt(n)
    return Interval(float(seed_means.mean() - half), float(seed_means.mean() + half), "seeds")


def bca_interval(run: SeedReplicates, level: float = 0.95) -> Interval:
    """Return the bias-corrected and accelerated interval of one run (Efron 1987, https://doi.org/10.2307/2289144).

    The acceleration comes from the jackknife over patients; without one it is zero, and the interval is bias-corrected. If
    all replicates lie on one side of the estimate, or an end lies beyond them, as with a few patients, the ends are NaN. A
    bootstrap of n patients is too narrow by sqrt((n - 1) / n) and by the normal quantile for Student's; both are mended (the
    expanded interval of Hesterberg 2015, https://doi.org/10.1080/00031305.2015.1089789).
    """
    bias, acceleration = _bca_constants(run)
    z = bias + expansion(run) * stats.t.ppf([(1 - level) / 2, (1 + level) / 2], run.num_patients - 1)
    position = stats.norm.cdf(bias + z / (1 - acceleration * z))
    method: IntervalMethod = "bca" if run.jackknife.size else "bc"
    finest = _finest(run)
    if not (position[0] >= finest and position[1] <= 1 - finest):
        return Interval(np.nan, np.nan, method)
    low, high = np.quantile(run.replicates, position)
    return Interval(float(low), float(high), method)


def bca_position(run: SeedReplicates, value: float) -> float:
    """Return the level at which an end of the BCa interval reaches a value; NaN where there is no interval."""
    if np.isnan(bca_interval(run).low):
        return float("nan")
    bias, acceleration = _bca_constants(run)
    share = np.clip(_share_below(run.replicates, value), _finest(run), 1 - _finest(run))
    z = stats.norm.ppf(share) - bias
    return float(stats.t.cdf((z / (1 + acceleration * z) - bias) / expansion(run), run.num_patients - 1))


def _finest(run: SeedReplicates) -> float:
    """Return the smallest share of the distribution that so many replicates can show: half a replicate."""
    return 0.5 / run.replicates.size


def expansion(run: SeedReplicates) -> float:
    """Return what the spread of a bootstrap over patients has to be multiplied by, since it is too narrow for a few."""
    return float(np.sqrt(run.num_patients / (run.num_patients - 1)))


def _bca_constants(run: SeedReplicates) -> tuple[float, float]:
    """Return bias and acceleration; NaN where they are not defined."""
    below = _share_below(run.replicates, float(run.values[0]))
    bias = float(stats.norm.ppf(below)) if 0 < below < 1 else float("nan")
    influence = run.jackknife.mean() - run.jackknife if run.jackknife.size else np.zeros(1)
    spread = float(np.sum(influence**2))
    acceleration = float(np.sum(influence**3)) / (6 * spread**1.5) if spread > 0 else 0.0
    return bias, acceleration


def _share_below(replicates: Floats, value: float) -> float:
    return float(np.mean(replicates < value) + np.mean(replicates == value) / 2)
