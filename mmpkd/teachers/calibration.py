"""How well a teacher's probabilities match frequencies, and temperature scaling of its logits."""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import expit

from mmpkd.statistics.arrays import Floats
from mmpkd.statistics.weighted_scores import calibration_bin, weighted_calibration_gaps

BOUNDS = (1e-2, 1e2)
# a search that ends so near to a bound, in the logarithm, was stopped by it
_NEAR = 1e-2
# a gap of so many standard errors is taken to have the sign that is seen
_CLEAR = 3.0


def calibration_temperature(logits: NDArray[np.float32], label: NDArray[np.float32]) -> float:
    """Return the temperature T that minimises the binary cross-entropy of sigmoid(z / T) over the known labels.

    All labels share one temperature. It does not change the ranking of samples.

    Source: Guo et al. 2017, https://arxiv.org/abs/1706.04599, section 4.2.

    Args:
        logits: Float (N, K).
        label: Float (N, K): 1, 0, or NaN if unknown.

    Returns:
        The temperature, in [0.01, 100].

    Raises:
        ValueError: If every label is unknown.
    """
    is_known = ~np.isnan(label)
    if not is_known.any():
        raise ValueError("Expected known labels to calibrate a teacher on but there are none.")
    z = logits[is_known].astype(np.float64)  # (n,)
    y = label[is_known].astype(np.float64)

    def cross_entropy(log_temperature: float) -> float:
        # log(1 + e^z) - y z is the cross-entropy of sigmoid(z), without overflow
        scaled = z / np.exp(log_temperature)
        return float(np.mean(np.logaddexp(0, scaled) - y * scaled))

    found = minimize_scalar(cross_entropy, bounds=np.log(BOUNDS), method="bounded", options={"xatol": 1e-4})
    return float(np.exp(found.x))


def is_at_limit(temperature: float) -> bool:
    """Return whether the search for a temperature was stopped by a bound, so that its value means nothing.

    The upper one is met if the logits say nothing about the labels, or the contrary; the lower one if they separate them.
    """
    return bool(np.abs(np.log(temperature) - np.log(BOUNDS)).min() < _NEAR)


def sigmoid(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the probabilities of logits in float64."""
    return np.asarray(expit(logits.astype(np.float64)))


def calibration_error_interval(
    probability: Floats, positive: NDArray[np.bool_], weights: Floats, level: float = 0.95
) -> tuple[float, float]:
    """Return an interval of the expected calibration error that a percentile bootstrap does not give.

    The error is a sum of magnitudes, and noise makes every magnitude larger: the estimate is too high by what the noise of the
    bins adds, and each resample adds it a second time, so that the percentiles lie above the estimate, and above the truth.
    With true gaps d and noise e of the bins, the sum of |d + e| exceeds that of |d| by at most the sum of |e|, and falls short
    of it by at most the sum of -sign(d) e. The resamples give the distributions of both bounds. Where a gap is clear of its
    noise, its sign is known, and the second bound serves for the first. The interval holds the estimate, reaches down to 0 for
    a calibrated teacher, and covers more often than its level elsewhere.

    Args:
        probability: (n,) predicted probabilities in [0, 1].
        positive: (n,) whether a sample is positive.
        weights: (R, n) how often each sample counts; the first row counts each once, the others are resamples.
        level: Level of the interval.

    Returns:
        Lower and upper end.
    """
    gaps = weighted_calibration_gaps(probability, positive, weights)
    gap = gaps[0]
    noise = gaps[1:] - gap
    # a bin of a few samples with the same label shows no noise; calibrated probabilities say what it would be
    variance = (
        np.bincount(calibration_bin(probability), probability * (1 - probability), len(gap)) / len(probability) ** 2
    )
    is_clear = np.abs(gap) > _CLEAR * np.maximum(noise.std(axis=0), np.sqrt(variance))
    signed = noise * np.sign(gap)
    added = np.where(is_clear, signed, np.abs(noise)).sum(axis=1)
    estimate = float(np.abs(gap).sum())
    tail = (1 + level) / 2
    low = estimate - max(float(np.quantile(added, tail)), 0.0)
    high = estimate + max(float(np.quantile(-signed.sum(axis=1), tail)), 0.0)
    return max(low, 0.0), min(high, 1.0)
