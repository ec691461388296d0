"""Scores of a teacher with intervals over patients."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data_modules.split import Split
from mmpkd.statistics.arrays import Floats
from mmpkd.statistics.resampling import resampled_weights
from mmpkd.statistics.weighted_scores import (
    weighted_auroc,
    weighted_average_precision,
    weighted_brier,
    weighted_calibration_error,
)
from mmpkd.teachers.calibration import calibration_error_interval

NUM_REPLICATES = 500
SCORES: dict[str, Callable[[Floats, NDArray[np.bool_], Floats], Floats]] = {
    "auroc": weighted_auroc,
    "auprc": weighted_average_precision,
    "ece": weighted_calibration_error,
    "brier": weighted_brier,
}


@dataclass(frozen=True)
class Estimate:
    """A score with its 95 % confidence interval over patients; NaN if undefined."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]" if np.isfinite(self.value) else "not defined"


_UNDEFINED = Estimate(float("nan"), float("nan"), float("nan"))


def scores_by_label(probability: Floats, split: Split, names: tuple[str, ...]) -> dict[str, dict[str, Estimate]]:
    """Return the scores of each label by name.

    Args:
        probability: (N, K) probabilities of the teacher.
        split: Its samples.
        names: Names of the K labels.
    """
    weights = _patient_weights(split)
    return {name: _label_scores(probability[:, k], split.label[:, k], weights) for k, name in enumerate(names)}


def _patient_weights(split: Split) -> Floats:
    """Return how often each sample counts (R, n): once in the first row, then as its patient is drawn."""
    # patients are resampled, not samples: samples of a patient are not independent
    patient = np.unique(split.patient_id, return_inverse=True)[1].reshape(-1)
    weights = resampled_weights(int(patient.max()) + 1, NUM_REPLICATES, 0)[:, patient]
    return np.concatenate([np.ones((1, len(patient))), weights])


def macro_auroc(probability: Floats, split: Split) -> Estimate:
    """Return the mean AUROC over the labels that have one, with its interval over patients."""
    weights = _patient_weights(split)
    found = []
    for k in range(probability.shape[1]):
        is_known = ~np.isnan(split.label[:, k])
        positive = split.label[is_known, k] > 0.5
        if positive.any() and not positive.all():
            found.append(weighted_auroc(probability[is_known, k], positive, weights[:, is_known]))
    if not found:
        return _UNDEFINED
    values = np.mean(found, axis=0)
    low, high = np.nanquantile(values[1:], (0.025, 0.975))
    return Estimate(float(values[0]), float(low), float(high))


def _label_scores(probability: Floats, label: NDArray[np.float32], weights: Floats) -> dict[str, Estimate]:
    is_known = ~np.isnan(label)
    positive = label[is_known] > 0.5
    if not positive.any() or positive.all():
        return dict.fromkeys(SCORES, _UNDEFINED)
    result = {}
    for name, score in SCORES.items():
        # row 0 of the weights is the original sample, the others are bootstrap replicates
        values = score(probability[is_known], positive, weights[:, is_known])
        low, high = np.nanquantile(values[1:], (0.025, 0.975))
        if name == "ece":  # resamples have a larger error than the sample, and the sample than the truth
            low, high = calibration_error_interval(probability[is_known], positive, weights[:, is_known])
        result[name] = Estimate(float(values[0]), float(low), float(high))
    return result
