"""One number that makes a teacher's probabilities match frequencies better."""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import expit

BOUNDS = (1e-2, 1e2)


def calibration_temperature(logits: NDArray[np.float32], label: NDArray[np.float32]) -> float:
    """Return the temperature T that minimises the binary cross-entropy of sigmoid(z / T) over the stated labels.

    One number for all labels, so that no ranking within a label changes; it lies in [0.01, 100].

    Source: Guo et al. 2017, https://arxiv.org/abs/1706.04599, sec. 4.2.

    Args:
        logits: (N, K).
        label: (N, K): 1, 0, or NaN for not stated.

    Raises:
        ValueError: If no label is stated.
    """
    stated = ~np.isnan(label)
    if not stated.any():
        raise ValueError("Expected stated labels to calibrate a teacher with but there are none.")
    z = logits[stated].astype(np.float64)
    y = label[stated].astype(np.float64)

    def cross_entropy(log_temperature: float) -> float:
        scaled = z / np.exp(log_temperature)
        return float(np.mean(np.logaddexp(0, scaled) - y * scaled))

    found = minimize_scalar(cross_entropy, bounds=np.log(BOUNDS), method="bounded", options={"xatol": 1e-4})
    return float(np.exp(found.x))


def sigmoid(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return probabilities of logits."""
    return np.asarray(expit(logits.astype(np.float64)))
