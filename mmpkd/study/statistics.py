"""Paired statistics over training seeds and patients. Pure NumPy on tables; nothing here reads a file.

Two things vary: the training run (initialisation, order of batches) and the patients of the test set. Rows of one
patient (several images, several findings) are dependent, so patients are resampled, never rows. The same patients are
seen by all runs, so seeds and patients are crossed, not nested, and are resampled independently of each other
(pigeonhole bootstrap: Owen 2007, Annals of Applied Statistics 1(2), https://doi.org/10.1214/07-AOAS122).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Floats = NDArray[np.float64]

MIN_SEEDS = 5
SINGLE_SEED = f"one training run is no evidence about the method; run at least {MIN_SEEDS} seeds"
NUM_REPLICATES = 2000


@dataclass(frozen=True)
class Interval:
    """A confidence interval.

    Attributes:
        low: Lower end; NaN where it is not defined.
        high: Upper end.
        method: How it was computed, for the reader.
    """

    low: float
    high: float
    method: str

    @property
    def excludes_zero(self) -> bool:
        """Whether all of the interval lies on one side of zero."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class Bootstrap:
    """A bootstrap distribution.

    Attributes:
        estimate: Value on the data.
        replicates: (R,) values on resampled data.
        jackknife: (P,) values without one patient each, for the acceleration of BCa; empty if not computed.
    """

    estimate: float
    replicates: Floats
    jackknife: Floats

    @property
    def standard_error(self) -> float:
        """Standard deviation of the replicates."""
        return float(np.std(self.replicates, ddof=1))


@dataclass(frozen=True)
class ClusterSums:
    """Per-ROI differences of S runs, added up within P patients.

    Attributes:
        total: (S, P) sum of the defined differences.
        count: (S, P) number of the defined differences.
        num_undefined: Pairs dropped because one of the two values is NaN, over all runs.
    """

    total: Floats
    count: Floats
    num_undefined: int

    @property
    def seed_means(self) -> Floats:
        """(S,) mean difference of each run."""
        return np.asarray(self.total.sum(axis=1) / self.count.sum(axis=1))

    @property
    def mean(self) -> float:
        """Mean over runs of the mean difference."""
        return float(self.seed_means.mean())


def cluster_sums(differences: Floats, patient: NDArray[np.int64]) -> ClusterSums:
    """Add up paired differences within patients.

    Args:
        differences: (S, N) value of the arm minus value of the reference for S seeds and N (image, finding) pairs; NaN
            where one of them is undefined.
        patient: (N,) patient of each pair, as integers from 0.

    Returns:
        Sums, counts, and the number of dropped pairs.

    Raises:
        ValueError: If the shapes do not fit, or a run has no defined pair.
    """
    if differences.ndim != 2 or patient.shape != differences.shape[1:]:
        raise ValueError(
            f"Expected `differences` (S, N) and `patient` (N,) but got {differences.shape} and {patient.shape}."
        )
    defined = ~np.isnan(differences)
    if not defined.any(axis=1).all():
        raise ValueError(
            "Expected a defined pair in every run but a run has none; the score is undefined for all ROIs."
        )
    size = int(patient.max()) + 1
    total = [np.bincount(patient, row, size) for row in np.where(defined, differences, 0.0)]
    count = [np.bincount(patient, row, size) for row in defined]
    return ClusterSums(np.stack(total), np.stack(count), int((~defined).sum()))


def resampled_weights(num: int, num_replicates: int, seed: int, draws: int | None = None) -> Floats:
    """Return (R, num) how often each of `num` units is drawn; `draws` units a replicate, `num` by default."""
    rng = np.random.default_rng(seed)
    draws = num if draws is None else draws
    counts = rng.multinomial(draws, np.full(num, 1.0 / num), size=num_replicates)
    return counts.astype(np.float64)


def patient_bootstrap(sums: ClusterSums, num_replicates: int = NUM_REPLICATES, seed: int = 0) -> Bootstrap:
    """Bootstrap the mean paired difference over patients; the runs stay as they are.

    Clusters are drawn with replacement and keep all of their rows (Field and Welsh 2007, JRSS B 69(3),
    https://doi.org/10.1111/j.1467-9868.2007.00593.x). The mean is a ratio of sums, because patients own different numbers
    of ROIs.

    Args:
        sums: Differences within patients.
        num_replicates: Number of resamples R.
        seed: Seed of the resampling.

    Returns:
        Distribution, with the jackknife over patients.
    """
    weights = resampled_weights(sums.total.shape[1], num_replicates, seed)
    replicates = _weighted_means(sums, weights).mean(axis=1)
    without = (sums.total.sum(1, keepdims=True) - sums.total) / _or_nan(sums.count.sum(1, keepdims=True) - sums.count)
    present = sums.count.any(axis=0)
    return Bootstrap(sums.mean, replicates[~np.isnan(replicates)], without.mean(axis=0)[present])


def two_level_bootstrap(sums: ClusterSums, num_replicates: int = NUM_REPLICATES, seed: int = 0) -> Bootstrap:
    """Bootstrap the mean paired difference over seeds and patients, drawn independently of each other.

    S - 1 of the S seeds are drawn, with replacement: drawing S would make the variance between seeds too small by the factor
    (S - 1) / S, which matters for five seeds (Rao and Wu 1988, JASA 83(401),
    https://doi.org/10.1080/01621459.1988.10478591).

    Args:
        sums: Differences within patients, of at least two runs.
        num_replicates: Number of resamples R.
        seed: Seed of the resampling.

    Returns:
        Distribution, without a jackknife.

    Raises:
        ValueError: If there is one run only.
    """
    num_seeds, num_patients = sums.total.shape
    if num_seeds < 2:
        raise ValueError(f"Expected at least 2 seeds for a bootstrap over seeds but got {num_seeds}: {SINGLE_SEED}.")
    patients = resampled_weights(num_patients, num_replicates, seed)
    seeds = resampled_weights(num_seeds, num_replicates, seed + 1, draws=num_seeds - 1)
    replicates = (seeds * _weighted_means(sums, patients)).sum(axis=1) / (num_seeds - 1)
    return Bootstrap(sums.mean, replicates[~np.isnan(replicates)], np.empty(0))


def _weighted_means(sums: ClusterSums, weights: Floats) -> Floats:
    return (weights @ sums.total.T) / _or_nan(weights @ sums.count.T)


def _or_nan(count: Floats) -> Floats:
    return np.where(count > 0, count, np.nan)


def percentile_interval(bootstrap: Bootstrap, level: float = 0.95) -> Interval:
    """Return the percentile interval (Efron and Tibshirani 1993, section 13.3)."""
    tail = (1 - level) / 2
    low, high = np.quantile(bootstrap.replicates, [tail, 1 - tail])
    return Interval(float(low), float(high), "percentile bootstrap")


def bca_interval(bootstrap: Bootstrap, level: float = 0.95) -> Interval:
    """Return the bias-corrected and accelerated interval (Efron 1987, https://doi.org/10.2307/2289144).

    The acceleration comes from the jackknife over patients. If all replicates lie on one side of the estimate the correction
    is not defined and the ends are NaN.
    """
    below = np.mean(bootstrap.replicates < bootstrap.estimate) + np.mean(bootstrap.replicates == bootstrap.estimate) / 2
    if not 0 < below < 1 or bootstrap.jackknife.size < 2:
        return Interval(np.nan, np.nan, "BCa bootstrap")
    influence = bootstrap.jackknife.mean() - bootstrap.jackknife
    spread = float(np.sum(influence**2))
    acceleration = float(np.sum(influence**3)) / (6 * spread**1.5) if spread > 0 else 0.0
    bias = stats.norm.ppf(below)
    z = bias + stats.norm.ppf([(1 - level) / 2, (1 + level) / 2])
    low, high = np.quantile(bootstrap.replicates, stats.norm.cdf(bias + z / (1 - acceleration * z)))
    return Interval(float(low), float(high), "BCa bootstrap")


def t_interval(seed_means: Floats, level: float = 0.95) -> Interval:
    """Return Student's interval of the mean over seeds; it holds for this test set only. NaN for fewer than two seeds."""
    n = len(seed_means)
    if n < 2:
        return Interval(np.nan, np.nan, "t over seeds")
    half = stats.t.ppf((1 + level) / 2, n - 1) * np.std(seed_means, ddof=1) / np.sqrt(n)
    return Interval(float(seed_means.mean() - half), float(seed_means.mean() + half), "t over seeds")


def seeds_and_patients_interval(bootstrap: Bootstrap, num_seeds: int, level: float = 0.95) -> Interval:
    """Return estimate -+ t(S - 1) x the bootstrap's standard error over seeds and patients.

    The percentiles of a bootstrap over five seeds are too narrow; the t quantile makes up for the few seeds (Hesterberg 2015,
    The American Statistician 69(4), section 4, https://doi.org/10.1080/00031305.2015.1089789). It is on the cautious side
    when the patients, not the seeds, are what varies.

    Args:
        bootstrap: Distribution of `two_level_bootstrap`.
        num_seeds: Number of runs S, at least 2.
        level: Confidence level.

    Returns:
        Interval, symmetric about the estimate.
    """
    half = float(stats.t.ppf((1 + level) / 2, num_seeds - 1)) * bootstrap.standard_error
    return Interval(
        bootstrap.estimate - half, bootstrap.estimate + half, "t with bootstrap error over seeds and patients"
    )


def paired_effect_size(differences: Floats) -> float:
    """Return the standardised mean of paired differences with Hedges' correction for small samples, g_z.

    Lakens 2013 (https://doi.org/10.3389/fpsyg.2013.00863): d_z = mean / SD; Hedges 1981: times 1 - 3 / (4 (n - 1) - 1).

    Args:
        differences: (n,) one value per independent unit: mean differences of seeds, or of patients.

    Returns:
        Effect size; NaN for fewer than three units (the correction is then zero) or no spread.
    """
    n = len(differences)
    spread = float(np.std(differences, ddof=1)) if n > 2 else 0.0
    if spread == 0:
        return float("nan")
    return float(differences.mean()) / spread * (1 - 3 / (4 * (n - 1) - 1))


Verdict = Literal["higher", "lower", "equivalent", "not shown"]


def verdict(interval: Interval, inner: Interval, margin: float | None) -> Verdict:
    """Judge a difference by its intervals.

    Two one-sided tests (Schuirmann 1987, https://doi.org/10.1007/BF01068419): the difference is equivalent to none at 5 % if its
    90 % interval lies within the margin.

    Args:
        interval: 95 % interval.
        inner: 90 % interval by the same method.
        margin: Smallest difference that matters, or None.

    Returns:
        Equivalence goes before a difference: a difference within the margin does not matter.
    """
    if margin is not None and -margin < inner.low and inner.high < margin:
        return "equivalent"
    if interval.excludes_zero:
        return "higher" if interval.low > 0 else "lower"
    return "not shown"


def interval_of(sums: ClusterSums, level: float = 0.95, num_replicates: int = NUM_REPLICATES) -> Interval:
    """Return the interval that the report quotes: over patients (BCa) for one run, over seeds and patients for several."""
    num_seeds = len(sums.total)
    if num_seeds == 1:
        return bca_interval(patient_bootstrap(sums, num_replicates), level)
    return seeds_and_patients_interval(two_level_bootstrap(sums, num_replicates), num_seeds, level)


def as_codes(names: Sequence[str]) -> NDArray[np.int64]:
    """Return (N,) integers from 0 for N names, equal where the names are."""
    return np.unique(np.asarray(names, dtype=str), return_inverse=True)[1].astype(np.int64)
