"""Scores of a teacher with intervals over patients."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data_modules.split import Split
from mmpkd.statistics.arrays import Codes, Floats, as_codes
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
    """A score with its 95 % confidence interval over patients; NaN if undefined, the interval also if it cannot be known."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        if not np.isfinite(self.value):
            return "not defined"
        return (
            f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"
            if self.has_interval
            else f"{self.value:.3f} (no interval)"
        )

    @property
    def has_interval(self) -> bool:
        """Whether the interval is known."""
        return bool(np.isfinite(self.low))


_OF_RANKS = ("auroc", "auprc")
_UNDEFINED = Estimate(float("nan"), float("nan"), float("nan"))


def scores_by_label(probability: Floats, split: Split, names: tuple[str, ...]) -> dict[str, dict[str, Estimate]]:
    """Return the scores of each label by name.

    Args:
        probability: (N, K) probabilities of the teacher.
        split: Its samples.
        names: Names of the K labels.
    """
    patient = as_codes(split.patient_id.tolist())
    weights = _patient_weights(patient)
    return {name: _label_scores(probability[:, k], split.label[:, k], patient, weights) for k, name in enumerate(names)}


def _patient_weights(patient: Codes) -> Floats:
    """Return how often each sample counts (R, n): once in the first row, then as its patient is drawn."""
    # patients are resampled, not samples: samples of a patient are not independent
    weights = resampled_weights(int(patient.max()) + 1, NUM_REPLICATES, 0)[:, patient]
    return np.concatenate([np.ones((1, len(patient))), weights])


def macro_auroc(probability: Floats, split: Split) -> Estimate:
    """Return the mean AUROC over the labels that have one, with its interval over patients."""
    weights = _patient_weights(as_codes(split.patient_id.tolist()))
    found = []
    for k in range(probability.shape[1]):
        is_known = ~np.isnan(split.label[:, k])
        positive = split.label[is_known, k] > 0.5
        if positive.any() and not positive.all():
            found.append(weighted_auroc(probability[is_known, k], positive, weights[:, is_known]))
    if not found:
        return _UNDEFINED
    values = np.mean(found, axis=0)
    return Estimate(float(values[0]), *_percentiles(values[1:]))


def _label_scores(
    probability: Floats, label: NDArray[np.float32], patient: Codes, weights: Floats
) -> dict[str, Estimate]:
    is_known = ~np.isnan(label)
    positive = label[is_known] > 0.5
    if not positive.any() or positive.all():
        return dict.fromkeys(SCORES, _UNDEFINED)
    # a ranking of one patient against the others varies with that patient, of whom the resamples show nothing
    is_alone = any(len(np.unique(patient[is_known][group])) < 2 for group in (positive, ~positive))
    result = {}
    for name, score in SCORES.items():
        # row 0 of the weights is the original sample, the others are bootstrap replicates
        values = score(probability[is_known], positive, weights[:, is_known])
        low, high = (np.nan, np.nan) if is_alone and name in _OF_RANKS else _percentiles(values[1:])
        if name == "ece":  # resamples have a larger error than the sample, and the sample than the truth
            ends = calibration_error_interval(probability[is_known], positive, weights[:, is_known])
            low, high = ends if ends[0] < ends[1] else (np.nan, np.nan)  # all samples are of one patient
        result[name] = Estimate(float(values[0]), float(low), float(high))
    return result


def _percentiles(replicates: Floats) -> tuple[float, float]:
    """Return the interval of the replicates, or NaN if they are all equal: a score of 0 or 1 in every resample is not certain."""
    low, high = np.nanquantile(replicates, (0.025, 0.975))
    return (float(low), float(high)) if low < high else (np.nan, np.nan)
