"""Localization at equal classification: a model that recognises more findings also tends to look at them.

Saporta et al. 2022 (https://doi.org/10.1038/s42256-022-00536-x) and others find that localization follows confidence. Whether an
arm looks better *beyond* that is asked in three ways, since each has its weakness: a regression on confidence assumes a
line, a subset is small and chosen after training, and a regression over runs has few runs and may have to extrapolate.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from mmpkd.statistics.effects import Effect, effect_of
from mmpkd.statistics.resampling import (
    NUM_REPLICATES,
    Floats,
    SeedReplicates,
    cluster_sums,
    patient_bootstrap,
    resampled_weights,
)

MAX_LOGIT = 10.0
Held = Literal["confidence", "recognition", "macro_auroc"]


@dataclass(frozen=True)
class Matched:
    """A difference at equal classification.

    Attributes:
        held_equal: Confidence in the finding (regression over ROIs), recognition by both arms (subset of ROIs), or macro AUROC
            (regression over runs).
        effect: The difference.
        num_rois: ROI pairs behind it, over all seeds; runs for the regression over runs.
        is_extrapolated: Whether the line reaches over a gap that no run fills.
    """

    held_equal: Held
    effect: Effect
    num_rois: int
    is_extrapolated: bool = False


def at_equal_confidence(score: Floats, logit: Floats, patient: NDArray[np.int64]) -> Matched:
    """Regress differences in localization on differences in confidence, and return the difference where the latter is none.

    Args:
        score: (S, N) score of the arm minus that of the reference for S seeds and N ROIs; NaN where undefined.
        logit: (S, N) logit of the finding by the arm minus that by the reference.
        patient: (N,) patient of each ROI, as integers from 0.

    Returns:
        The intercept of a line for each seed, with its uncertainty over seeds and patients.
    """
    defined = ~np.isnan(score)
    x = np.where(defined, logit, 0.0)
    y = np.where(defined, score, 0.0)
    size = int(patient.max()) + 1
    # (S, P, 5): what the normal equations need of each patient
    parts = np.stack([_patient_sums(values, patient, size) for values in (defined, x, y, x * x, x * y)], -1)
    weights = resampled_weights(size, NUM_REPLICATES, 0)
    present = parts[:, :, 0].any(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        found = SeedReplicates(
            values=_intercept(parts.sum(axis=1)),
            replicates=_intercept(np.einsum("rp,spk->rsk", weights, parts)),
            jackknife=_intercept(parts.sum(axis=1) - parts.transpose(1, 0, 2)[present]),
            num_patients=int(present.sum()),
        )
    return Matched("confidence", effect_of(found), int(defined.sum()))


def _patient_sums(values: NDArray[Any], patient: NDArray[np.int64], size: int) -> Floats:
    """Return the sums (S, P) of values (S, N) over the ROIs of each patient."""
    return np.stack([np.bincount(patient, row, size) for row in values])


def _intercept(sums: Floats) -> Floats:
    n, x, y, xx, xy = np.moveaxis(sums, -1, 0)
    determinant = n * xx - x * x
    # without any difference in confidence the intercept is the mean
    flat = determinant <= 1e-12 * np.maximum(n * xx, 1e-300)
    return np.asarray(np.where(flat, y / n, (y * xx - x * xy) / np.where(flat, 1.0, determinant)))


def where_both_recognise(score: Floats, recognised: NDArray[np.bool_], patient: NDArray[np.int64]) -> Matched | None:
    """Compare ROIs whose finding both arms recognise, in each seed, at the thresholds of validation.

    Args:
        score: (S, N) differences.
        recognised: (S, N) whether both arms recognise the finding.
        patient: (N,) patient of each ROI.

    Returns:
        The mean difference; None if a seed has no such ROI.
    """
    chosen = np.where(recognised, score, np.nan)
    if np.isnan(chosen).all(axis=1).any():
        return None
    num = int((~np.isnan(chosen)).sum())
    effect = effect_of(patient_bootstrap(cluster_sums(chosen, patient)))
    return Matched("recognition", effect, num)


def at_equal_auroc(scores: tuple[Floats, Floats], aurocs: tuple[Floats, Floats]) -> Matched | None:
    """Regress the mean score of a run on its arm and its macro AUROC, and return what the arm adds.

    Args:
        scores: (S,) mean localization score of each run, of the arm and of the reference.
        aurocs: (S,) macro AUROC of each run, of both.

    Returns:
        The coefficient of the arm, Student's t over runs, for this test set only; None for fewer than six runs or equal
        AUROCs. It is extrapolated if the ranges of the AUROCs do not overlap.
    """
    y = np.concatenate(scores)
    x = np.concatenate(aurocs)
    arm = np.concatenate([np.ones(len(scores[0])), np.zeros(len(scores[1]))])
    df = len(y) - 3
    if df < 3 or np.isnan(x).any() or np.ptp(x) == 0:
        return None
    design = np.stack([np.ones_like(x), arm, x - x.mean()], axis=1)
    coefficients, _, rank, _ = np.linalg.lstsq(design, y, rcond=None)
    if rank < 3:
        return None
    variance = float(np.sum((y - design @ coefficients) ** 2)) / df
    error = float(np.sqrt(variance * np.linalg.inv(design.T @ design)[1, 1]))
    low = max(aurocs[0].min(), aurocs[1].min())
    high = min(aurocs[0].max(), aurocs[1].max())
    effect = Effect(float(coefficients[1]), error, float(df))
    return Matched("macro_auroc", effect, len(y), is_extrapolated=bool(low > high))


def logits(probability: Floats) -> Floats:
    """Return log-odds, at most 10 in size: a probability of 1 - 1e-8 is not evidence of more confidence than 1 - 1e-5."""
    return np.asarray(np.clip(stats.logistic.ppf(np.clip(probability, 1e-12, 1 - 1e-12)), -MAX_LOGIT, MAX_LOGIT))
