"""Paired statistics over training seeds and patients. Pure NumPy on tables; nothing here reads a file.

Two things vary: the training run (initialisation, order of batches) and the patients of the test set. Rows of one
patient (several images, several findings) are dependent, so patients are resampled, never rows (Field and Welsh 2007,
JRSS B 69(3), https://doi.org/10.1111/j.1467-9868.2007.00593.x). The same patients are seen by all runs, so seeds and
patients are crossed, not nested. The number of seeds is small, so their part of the variance is computed, not resampled:
a bootstrap over five values is too narrow, and a bootstrap over both (Owen 2007, Annals of Applied Statistics 1(2),
https://doi.org/10.1214/07-AOAS122) counts the noise of a single run on a single patient three times.
docs/statistics.md shows how often the intervals cover.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

from mmpkd.statistics.intervals import Interval, bca_interval, bca_position, expansion
from mmpkd.statistics.resampling import Floats, SeedReplicates

Alternative = Literal["two-sided", "greater", "less"]

MIN_SEEDS = 5


@dataclass(frozen=True)
class Spread:
    """How far an estimate may be from the truth.

    Attributes:
        error: Standard error.
        df: Degrees of freedom of Student's distribution.
    """

    error: float
    df: float


@dataclass(frozen=True)
class Effect:
    """An estimate with what is needed for intervals and tests.

    Attributes:
        estimate: Mean over runs.
        error: Standard error; NaN where it is not defined.
        df: Degrees of freedom of Student's distribution.
        run: For a single run, its bootstrap over patients: intervals and tests are BCa then.
        parts: Its spread with each part of the variance at its median, see `typical`; None for one part.
    """

    estimate: float
    error: float
    df: float
    run: SeedReplicates | None = None
    parts: Spread | None = None

    @property
    def typical(self) -> Spread:
        """The spread to plan with.

        An estimated variance with few degrees of freedom is more often too small than too large. Here every part of it is
        divided by the median ratio of such an estimate to the true value, so about half of all studies state less than is true.
        """
        return self.parts or Spread(float(np.sqrt(self.error**2 / _median_ratio(self.df))), self.df)

    def interval(self, level: float = 0.95) -> Interval:
        """Return the two-sided interval of a level; its ends are NaN where it is not defined."""
        if self.run is not None:
            return bca_interval(self.run, level)
        half = self.error * float(stats.t.ppf((1 + level) / 2, self.df))
        return Interval(self.estimate - half, self.estimate + half, "crossed")

    def p_value(self, null: float = 0.0, alternative: Alternative = "two-sided") -> float:
        """Return the p-value of the hypothesis that the true value is `null`; it agrees with `interval`.

        Args:
            null: Value under the hypothesis.
            alternative: What speaks against it: a value that differs, is greater, or is less.

        Returns:
            In [0, 1]; NaN where it is not defined.
        """
        below = bca_position(self.run, null) if self.run is not None else self._position(null)
        if alternative == "two-sided":
            return float(min(1.0, 2 * min(below, 1 - below))) if below == below else float("nan")
        return below if alternative == "greater" else 1 - below

    def _position(self, null: float) -> float:
        """Return how much of the confidence distribution lies below a value."""
        return float(stats.t.cdf((null - self.estimate) / self.error, self.df))


def effect_of(runs: SeedReplicates) -> Effect:
    """Return the mean of a statistic over runs, with its uncertainty over seeds and patients.

    For S >= 2 runs the variance of the mean is V_seeds + V_patients - V_noise, each from a moment: V_seeds is the variance
    between runs over S; V_patients that of the mean over runs between resamples of the patients; V_noise, what a single run
    does with a single patient, is in both and is taken away once. It is never below V_seeds. Degrees of freedom after
    Satterthwaite 1946 (https://doi.org/10.2307/3002019). This is the two-way clustered variance (Cameron, Gelbach and
    Miller 2011, https://doi.org/10.1198/jbes.2010.07136) with the resampling of patients that a ratio of sums needs.

    Args:
        runs: The statistic of each run.

    Returns:
        Effect; for one run, over patients only. Its error is NaN for fewer than two patients, and where nothing varies: a few
        equal values are no proof that all others are equal.
    """
    replicates = runs.replicates[~np.isnan(runs.replicates).any(axis=1)]
    estimate = float(runs.values.mean())
    num_seeds = len(runs.values)
    num_patients = runs.num_patients
    if len(replicates) < 2 or num_patients < 2 or not _varies(np.append(replicates, runs.values)):
        return Effect(estimate, float("nan"), float("nan"))
    if num_seeds == 1:
        only = SeedReplicates(runs.values, replicates, runs.jackknife, num_patients)
        return Effect(estimate, float(replicates.std(ddof=1)) * expansion(only), num_patients - 1, only)
    correction = num_patients / (num_patients - 1)
    means = replicates.mean(axis=1, keepdims=True)
    seeds = float(runs.values.var(ddof=1)) / num_seeds
    patients = float(means.var(ddof=1)) * correction
    noise = float((replicates - means).var(axis=0, ddof=1).sum()) * correction / (num_seeds * (num_seeds - 1))
    dfs = (num_seeds - 1, num_patients - 1, (num_seeds - 1) * (num_patients - 1))
    variances = (seeds, patients, noise)
    typical = tuple(variance / _median_ratio(df) for variance, df in zip(variances, dfs, strict=True))
    spread = _crossed(variances, dfs)
    return Effect(estimate, spread.error, spread.df, parts=_crossed(typical, dfs))


def _crossed(variances: tuple[float, ...], dfs: tuple[int, ...]) -> Spread:
    """Return the spread of a mean over crossed seeds and patients, from V_seeds, V_patients, V_noise."""
    seeds, patients, noise = variances
    total = max(seeds + patients - noise, seeds)
    return Spread(float(np.sqrt(total)), max(_satterthwaite(total, variances, dfs), 1.0))


def _satterthwaite(total: float, variances: Sequence[float], dfs: Sequence[float]) -> float:
    parts = sum(variance**2 / df for variance, df in zip(variances, dfs, strict=True))
    return total**2 / parts if parts > 0 else float("inf")


def _varies(values: Floats) -> bool:
    """Return whether values differ by more than rounding."""
    return bool(np.ptp(values) > 1e-9 * np.abs(values).max())


def _median_ratio(df: float) -> float:
    """Return the median of an estimated variance over its true value."""
    return float(stats.chi2.median(df) / df) if np.isfinite(df) else 1.0


def independent_sum(effects: Sequence[Effect], weights: Sequence[float]) -> Effect:
    """Return a weighted sum of effects that share neither patients nor runs.

    Args:
        effects: Effects of several runs each.
        weights: Their weights.

    Raises:
        ValueError: If an effect is of a single run: it has no variance between runs.
    """
    if any(effect.run is not None for effect in effects):
        raise ValueError(
            f"Expected effects over several seeds but one is of a single run. Run at least {MIN_SEEDS} seeds."
        )
    estimate = sum(weight * effect.estimate for effect, weight in zip(effects, weights, strict=True))
    spread = _added([Spread(effect.error, effect.df) for effect in effects], weights)
    return Effect(float(estimate), spread.error, spread.df, parts=_added([own.typical for own in effects], weights))


def _added(spreads: Sequence[Spread], weights: Sequence[float]) -> Spread:
    """Return the spread of a weighted sum of independent estimates."""
    variances = [(weight * spread.error) ** 2 for spread, weight in zip(spreads, weights, strict=True)]
    df = _satterthwaite(sum(variances), variances, [spread.df for spread in spreads])
    return Spread(float(np.sqrt(sum(variances))), df)


def paired_effect_size(differences: Floats) -> float:
    """Return the standardised mean of paired differences with Hedges' correction for small samples, g_z.

    Lakens 2013 (https://doi.org/10.3389/fpsyg.2013.00863): d_z = mean / SD; Hedges 1981: times 1 - 3 / (4 (n - 1) - 1).

    Args:
        differences: (n,) one value per independent unit: mean differences of seeds, or of patients.

    Returns:
        Effect size; NaN for fewer than three units (the correction is then zero) or no spread.
    """
    n = len(differences)
    if n < 3 or not _varies(differences):
        return float("nan")
    return float(differences.mean() / np.std(differences, ddof=1)) * (1 - 3 / (4 * (n - 1) - 1))
