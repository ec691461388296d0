"""Temperature scaling of a teacher's logits."""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import expit

BOUNDS = (1e-2, 1e2)


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


def sigmoid(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the probabilities of logits in float64."""
    return np.asarray(expit(logits.astype(np.float64)))
