"""Scores of one label under many weightings of the samples, as a bootstrap needs them."""

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

    Example:
        >>> scores = np.array([0.2, 0.6, 0.4])
        >>> weighted_auroc(scores, np.array([False, False, True]), np.array([[1.0, 1.0, 1.0], [2.0, 0.0, 1.0]])).tolist()
        [0.5, 1.0]
    """
    order = np.argsort(preds, kind="stable")
    preds = preds[order]
    positive = positive[order]
    weights = weights[:, order]
    # (R, n + 1), weight of the negatives among the i lowest scores
    negatives = np.zeros((len(weights), len(preds) + 1))
    np.cumsum(weights * ~positive, axis=1, out=negatives[:, 1:])
    # negatives below a positive, and those up to its ties: the mean of both counts a tie half
    first = np.searchsorted(preds, preds[positive], side="left")
    last = np.searchsorted(preds, preds[positive], side="right")
    own = weights[:, positive]
    ordered = np.einsum("rn,rn->r", own, negatives[:, first] + negatives[:, last]) / 2
    total = own.sum(axis=1) * negatives[:, -1]
    return np.asarray(ordered / np.where(total > 0, total, np.nan))


def weighted_average_precision(preds: Floats, positive: NDArray[np.bool_], weights: Floats) -> Floats:
    """Return the average precision under each of R weightings; tied scores share one threshold.

    Args:
        preds: (n,) scores.
        positive: (n,) whether a sample is positive.
        weights: (R, n) how often each sample counts.

    Returns:
        (R,) values in [0, 1]; NaN without positives.

    Example:
        >>> scores = np.array([0.2, 0.6, 0.4])
        >>> weights = np.array([[1.0, 1.0, 1.0], [2.0, 0.0, 1.0]])
        >>> weighted_average_precision(scores, np.array([False, False, True]), weights).tolist()
        [0.5, 1.0]
    """
    order = np.argsort(-preds, kind="stable")
    preds = preds[order]
    positive = positive[order]
    weights = weights[:, order]
    # tied scores are admitted together, so each sample has the counts of the last of its ties
    last = np.searchsorted(-preds, -preds, side="right") - 1
    admitted = np.cumsum(weights, axis=1)[:, last]
    hits = np.cumsum(weights * positive, axis=1)[:, last]
    precision = hits / np.maximum(admitted, 1e-12)
    own = weights * positive
    total = own.sum(axis=1)
    return np.asarray((precision * own).sum(axis=1) / np.where(total > 0, total, np.nan))


def weighted_calibration_error(probability: Floats, positive: NDArray[np.bool_], weights: Floats) -> Floats:
    """Return the expected calibration error under each of R weightings; see `mmpkd.metrics.expected_calibration_error`.

    Args:
        probability: (n,) predicted probabilities in [0, 1].
        positive: (n,) whether a sample is positive.
        weights: (R, n) how often each sample counts.

    Returns:
        (R,) values in [0, 1].

    Example:
        >>> weights = np.array([[1.0, 1.0], [1.0, 0.0]])
        >>> weighted_calibration_error(np.array([0.9, 0.9]), np.array([True, False]), weights).tolist()
        [0.4, 0.1]
    """
    return np.asarray(np.abs(weighted_calibration_gaps(probability, positive, weights)).sum(axis=1))


def weighted_calibration_gaps(
    probability: Floats, positive: NDArray[np.bool_], weights: Floats, num_bins: int = 15
) -> Floats:
    """Return the signed contribution of each bin of equal width to the calibration error, under each of R weightings.

    Args:
        probability: (n,) predicted probabilities in [0, 1].
        positive: (n,) whether a sample is positive.
        weights: (R, n) how often each sample counts.
        num_bins: Number of bins B.

    Returns:
        (R, B): share of the samples in each bin, times their mean probability minus their frequency.

    Example:
        >>> gaps = weighted_calibration_gaps(np.array([0.9, 0.9]), np.array([True, False]), np.ones((1, 2)), num_bins=2)
        >>> gaps.tolist()
        [[0.0, 0.4]]
    """
    member = calibration_bin(probability, num_bins)[:, None] == np.arange(num_bins)
    # (R, n) @ (n, B)
    gap = weights @ (member * (probability - positive)[:, None])
    return np.asarray(gap / weights.sum(axis=1, keepdims=True))


def calibration_bin(probability: Floats, num_bins: int = 15) -> NDArray[np.int64]:
    """Return the bin (n,) of equal width that holds each probability; a probability of 1 is in the last one.

    Example:
        >>> calibration_bin(np.array([0.0, 0.5, 1.0]), num_bins=2).tolist()
        [0, 1, 1]
    """
    return np.minimum((probability * num_bins).astype(np.int64), num_bins - 1)


def weighted_brier(probability: Floats, positive: NDArray[np.bool_], weights: Floats) -> Floats:
    """Return the Brier score, the mean squared error of the probabilities, under each of R weightings.

    Args:
        probability: (n,) predicted probabilities in [0, 1].
        positive: (n,) whether a sample is positive.
        weights: (R, n) how often each sample counts.

    Returns:
        (R,) values in [0, 1].

    Example:
        >>> weighted_brier(np.array([0.9, 0.9]), np.array([True, False]), np.ones((1, 2))).tolist()
        [0.41]
    """
    return np.asarray(weights @ (probability - positive) ** 2 / weights.sum(axis=1))
