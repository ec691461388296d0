"""A mean difference between two arms over ROIs."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmpkd.statistics.effects import Effect, effect_of
from mmpkd.statistics.intervals import Interval
from mmpkd.statistics.resampling import Floats, cluster_sums, patient_bootstrap

_UNDEFINED = Effect(float("nan"), float("nan"), float("nan"))


@dataclass(frozen=True)
class Difference:
    """A difference between two arms on some ROIs.

    Attributes:
        finding: Finding, or `all`.
        effect: Mean paired difference.
        num_rois: ROI pairs whose score is defined in a run or more.
        num_patients: Their patients.
        num_undefined: Differences left out because a score is undefined, over all seeds.
    """

    finding: str
    effect: Effect
    num_rois: int
    num_patients: int
    num_undefined: int

    @property
    def interval(self) -> Interval:
        """The 95 % interval."""
        return self.effect.interval()


def difference(name: str, values: Floats, patient: NDArray[np.int64]) -> Difference:
    """Return a mean difference over ROIs; undefined if a run has no defined pair.

    Args:
        name: Finding, or `all`.
        values: (S, N) differences of S seeds and N ROIs; NaN where undefined.
        patient: (N,) patient of each ROI.
    """
    is_missing = np.isnan(values)
    is_defined = (~is_missing).any(axis=0)
    effect = _UNDEFINED
    if not is_missing.all(axis=1).any():
        codes = np.unique(patient, return_inverse=True)[1]
        effect = effect_of(patient_bootstrap(cluster_sums(values, codes)))
    return Difference(
        finding=name,
        effect=effect,
        num_rois=int(is_defined.sum()),
        num_patients=len(np.unique(patient[is_defined])),
        num_undefined=int(is_missing.sum()),
    )
