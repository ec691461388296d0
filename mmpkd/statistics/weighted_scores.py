"""Scores of one label under many weightings of the samples, for a bootstrap."""

import numpy as np
from numpy.typing import NDArray

from mmpkd.statistics.arrays import Floats


def weighted_auroc(preds: Floats, positive: NDArray[np.bool_], weights: Floats) -> Floats:
    """Return the AUROC under each of R weightings of the images; a tie counts half.

    Args:
        preds: (n,) scores.
        positive: (n,) whether an image is positive.
        weights: (R, n) how often each image counts.

    Returns:
        (R,) values in [0, 1]; NaN without positives or negatives.
    """
    order = np.argsort(preds, kind="stable")
    preds = preds[order]
    positive = positive[order]
    weights = weights[:, order]
    negatives = np.zeros((len(weights), len(preds) + 1))
    np.cumsum(weights * ~positive, axis=1, out=negatives[:, 1:])
    first = np.searchsorted(preds, preds[positive], side="left")
    last = np.searchsorted(preds, preds[positive], side="right")
    own = weights[:, positive]
    ordered = np.einsum("rn,rn->r", own, negatives[:, first] + negatives[:, last]) / 2
    total = own.sum(axis=1) * negatives[:, -1]
    return np.asarray(ordered / np.where(total > 0, total, np.nan))


def weighted_average_precision(preds: Floats, positive: NDArray[np.bool_], weights: Floats) -> Floats:
    """Return the average precision under each of R weightings; equal scores are admitted together.

    Args:
        preds: (n,) scores.
        positive: (n,) whether a sample is positive.
        weights: (R, n) how often each sample counts.

    Returns:
        (R,) values in [0, 1]; NaN without positives.
    """
    order = np.argsort(-preds, kind="stable")
    preds = preds[order]
    positive = positive[order]
    weights = weights[:, order]
    last = np.searchsorted(-preds, -preds, side="right") - 1
    admitted = np.cumsum(weights, axis=1)[:, last]
    hits = np.cumsum(weights * positive, axis=1)[:, last]
    precision = hits / np.maximum(admitted, 1e-12)
    own = weights * positive
    total = own.sum(axis=1)
    return np.asarray((precision * own).sum(axis=1) / np.where(total > 0, total, np.nan))


def weighted_calibration_error(
    probability: Floats, positive: NDArray[np.bool_], weights: Floats, bins: int = 15
) -> Floats:
    """Return the error under each of R weightings; see `mmpkd.metrics.expected_calibration_error`."""
    index = np.minimum((probability * bins).astype(np.int64), bins - 1)
    member = (index[:, None] == np.arange(bins)).astype(np.float64)
    gap = np.abs(weights @ (member * (probability - positive)[:, None]))
    return np.asarray(gap.sum(axis=1) / weights.sum(axis=1))


def weighted_brier(probability: Floats, positive: NDArray[np.bool_], weights: Floats) -> Floats:
    """Return the Brier score under each of R weightings."""
    return np.asarray(weights @ (probability - positive) ** 2 / weights.sum(axis=1))
