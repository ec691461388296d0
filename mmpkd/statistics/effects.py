"""Estimated differences, with their intervals and tests."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

from mmpkd.statistics.arrays import Floats
from mmpkd.statistics.estimands import RunMeans
from mmpkd.statistics.spread import Spread, reach, spread_of, tail

Alternative = Literal["two-sided", "greater", "less"]
IntervalMethod = Literal["added", "patients", "seeds"]

# runs of a full study: fewer may hint at a difference, but show no equivalence
MIN_SEEDS = 5
# the simulations have no fewer patients, so nobody knows how reliable an interval would be
MIN_PATIENTS = 8


@dataclass(frozen=True)
class Interval:
    """A confidence interval.

    Attributes:
        low: Lower end; NaN where it is undefined.
        high: Upper end.
        method: How it was computed. `added`: half-widths over seeds and over patients, added in quadrature. `patients`: for a
            single run, Student's t over patients with a jackknife variance. `seeds`: Student's t over seeds.
    """

    low: float
    high: float
    method: IntervalMethod

    @property
    def excludes_zero(self) -> bool:
        """Whether the whole interval lies on one side of zero."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class Effect:
    """An estimate and its spread.

    Attributes:
        estimate: Mean over runs, or a weighted sum of such means.
        parts: Spreads of the independent estimates that it is a sum of; empty if it has no interval.
    """

    estimate: float
    parts: tuple[Spread, ...]

    @property
    def error(self) -> float:
        """Standard error; NaN if there is no interval."""
        variance = sum(float(part.variance) for part in self.parts)
        return float(np.sqrt(variance)) if self.parts else float("nan")

    @property
    def num_seeds(self) -> int:
        """Number of runs, of the part with the fewest; 0 if there is no interval."""
        return min((part.num_seeds for part in self.parts), default=0)

    def interval(self, level: float = 0.95) -> Interval:
        """Return the two-sided confidence interval.

        Args:
            level: Confidence level in (0, 1).

        Returns:
            The interval; its ends are NaN where it is undefined.
        """
        method: IntervalMethod = "patients" if self.num_seeds == 1 else "added"
        if not self.parts:
            return Interval(np.nan, np.nan, method)
        below, above = reach(self.parts, (1 - level) / 2)
        return Interval(float(self.estimate - below), float(self.estimate + above), method)

    def p_value(self, null: float = 0.0, alternative: Alternative = "two-sided") -> float:
        """Return the p-value of the hypothesis that the true value is `null`, by inverting the interval.

        Args:
            null: Value under the hypothesis.
            alternative: Alternative hypothesis: the true value differs, is greater, or is less.

        Returns:
            p-value in [0, 1]; NaN where it is undefined, and for a single run, which says nothing about the method.
        """
        if self.num_seeds < 2:
            return float("nan")
        distance = self.estimate - null
        below, above = (float(level) for level in tail(self.parts, np.asarray(abs(distance))))
        # the end of the interval on the side of `null` decides
        level = below if distance > 0 else above
        if alternative == "two-sided":
            return 2 * level
        # an estimate on the wrong side of `null` has a p-value above 1/2
        return level if (distance > 0) == (alternative == "greater") else 1 - level


UNDEFINED = Effect(float("nan"), ())


def effect_of(runs: RunMeans) -> Effect:
    """Return the mean over runs of an average, with its uncertainty over seeds and patients.

    Args:
        runs: The average in each run.

    Returns:
        The effect; that of one run has its uncertainty over patients only. There is no interval for fewer than eight patients,
        nor if nothing varies: a few equal values do not show that all others are equal.

    Example:
        >>> values = np.random.default_rng(0).normal(0.1, 0.05, (5, 40))  # five runs, forty patients
        >>> without = (values.sum(1, keepdims=True) - values) / 39
        >>> effect = effect_of(RunMeans(values.mean(1), without, np.full(40, 1 / 40)))
        >>> effect.interval().low < effect.estimate < effect.interval().high
        True
    """
    estimate = float(runs.values.mean())
    # also the values without a patient: runs may agree exactly although patients differ
    values = np.append(runs.without, runs.values)
    if runs.without.shape[-1] < MIN_PATIENTS or not np.isfinite(values).all() or not _varies(values):
        return Effect(estimate, ())
    return Effect(estimate, (spread_of(runs),))


def independent_sum(effects: Sequence[Effect], weights: Sequence[float]) -> Effect:
    """Return a weighted sum of effects that share neither patients nor runs.

    Args:
        effects: Effects of at least two runs each.
        weights: Weight of each effect.

    Raises:
        ValueError: If an effect comes from a single run, which has no variance between runs.

    Example:
        >>> part = Spread(5, *map(np.asarray, (0.04, 0.02, 0.01, 99.0, 0.0)))
        >>> both = independent_sum([Effect(0.3, (part,)), Effect(0.1, (part,))], (1.0, -1.0))
        >>> both.estimate, both.interval().high - both.estimate  # sqrt(2) times the half-width of one
        (0.2, 0.787)
    """
    if any(effect.num_seeds == 1 for effect in effects):
        raise ValueError(
            f"Expected effects over several seeds but one is of a single run. Run at least {MIN_SEEDS} seeds."
        )
    estimate = float(sum(weight * effect.estimate for effect, weight in zip(effects, weights, strict=True)))
    # an effect without parts is unknown, not exact: left out, it would make the sum look too certain
    if not all(effect.parts for effect in effects):
        return Effect(estimate, ())
    parts: list[Spread] = []
    for effect, weight in zip(effects, weights, strict=True):
        parts += (part.scaled(weight) for part in effect.parts)
    return Effect(estimate, tuple(parts))


def t_interval(seed_means: Floats, level: float = 0.95) -> Interval:
    """Return Student's t interval of the mean over seeds. It holds for this test set only, and is NaN for fewer than two seeds.

    Example:
        >>> t_interval(np.array([0.1, 0.2, 0.3])).low
        -0.048
    """
    n = len(seed_means)
    if n < 2:
        return Interval(np.nan, np.nan, "seeds")
    half = stats.t.ppf((1 + level) / 2, n - 1) * np.std(seed_means, ddof=1) / np.sqrt(n)
    return Interval(float(seed_means.mean() - half), float(seed_means.mean() + half), "seeds")


def paired_effect_size(differences: Floats) -> float:
    """Return the standardised mean of paired differences with Hedges' correction for small samples, g_z.

    Lakens 2013 (https://doi.org/10.3389/fpsyg.2013.00863): d_z = mean / SD; Hedges 1981: times 1 - 3 / (4 (n - 1) - 1).

    Args:
        differences: (n,) one value per independent unit, such as the mean difference of each seed or patient.

    Returns:
        Effect size; NaN for fewer than three units (the correction would be zero) or if all values are equal.

    Example:
        >>> paired_effect_size(np.array([0.1, 0.2, 0.3]))  # 2 (1 - 3/7)
        1.143
    """
    n = len(differences)
    if n < 3 or not _varies(differences):
        return float("nan")
    return float(differences.mean() / np.std(differences, ddof=1)) * (1 - 3 / (4 * (n - 1) - 1))


def _varies(values: Floats) -> bool:
    """Return whether values differ by more than rounding."""
    # means of equal values differ by about 1e-16 of them, real differences by far more than 1e-9
    return bool(np.ptp(values) > 1e-9 * np.abs(values).max())
