"""Resampling of patients, whose rows stay together. Pure NumPy on tables."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
NUM_REPLICATES = 2000


@dataclass(frozen=True)
class SeedReplicates:
    """A statistic of each of S runs, on the patients and on R resamples of them.

    Attributes:
        values: (S,) the statistic of each run on all patients.
        replicates: (R, S) the same on resampled patients; the same resample for all runs of a row.
        jackknife: (P, S) without one patient each, for the acceleration of BCa; empty if not computed.
        num_patients: Number of patients that have a part in the statistic.
    """

    values: Floats
    replicates: Floats
    jackknife: Floats
    num_patients: int


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


@lru_cache(maxsize=1)
def resampled_weights(num: int, num_replicates: int, seed: int) -> Floats:
    """Return (R, num) how often each of `num` units is drawn with replacement, `num` draws a replicate; read-only."""
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(num, np.full(num, 1.0 / num), size=num_replicates).astype(np.float64)
    weights.flags.writeable = False
    return weights


def patient_bootstrap(sums: ClusterSums, num_replicates: int = NUM_REPLICATES, seed: int = 0) -> SeedReplicates:
    """Bootstrap the mean paired difference of each run over patients.

    Clusters are drawn with replacement and keep all of their rows. The mean is a ratio of sums, because patients own different
    numbers of ROIs.

    Args:
        sums: Differences within patients.
        num_replicates: Number of resamples R.
        seed: Seed of the resampling.

    Returns:
        Means, on resamples and without one patient each.
    """
    weights = resampled_weights(sums.total.shape[1], num_replicates, seed)
    replicates = (weights @ sums.total.T) / _or_nan(weights @ sums.count.T)
    without = (sums.total.sum(1, keepdims=True) - sums.total) / _or_nan(sums.count.sum(1, keepdims=True) - sums.count)
    present = sums.count.any(axis=0)
    return SeedReplicates(sums.seed_means, replicates, without.T[present], int(present.sum()))


def _or_nan(count: Floats) -> Floats:
    return np.where(count > 0, count, np.nan)


def as_codes(names: Sequence[str]) -> NDArray[np.int64]:
    """Return (N,) integers from 0 for N names, equal where the names are."""
    return np.unique(np.asarray(names, dtype=str), return_inverse=True)[1].astype(np.int64)
