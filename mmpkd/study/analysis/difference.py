"""A mean difference between two arms over regions."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mmpkd.statistics.arrays import Floats
from mmpkd.statistics.effects import UNDEFINED, Effect, Interval, effect_of
from mmpkd.statistics.estimands import MIN_FINDING_PATIENTS, Average, Regions, averaged, region_cells


@dataclass(frozen=True)
class Difference:
    """A difference between two arms on some regions.

    Attributes:
        finding: Finding, or `all`.
        average: What is averaged.
        effect: Mean paired difference.
        num_rois: Number of regions whose difference is defined in at least one run.
        num_patients: Number of patients with these regions.
        num_differing: Number of patients with a difference other than zero, in any region and run.
        num_effective: Effective number of patients: as many of equal weight are as precise. NaN without a difference.
        num_undefined: Number of differences left out because a score is undefined, over all seeds.
        left_out: Findings left out of an average over findings because too few patients have them.
    """

    finding: str
    average: Average
    effect: Effect
    num_rois: int
    num_patients: int
    num_differing: int
    num_effective: float
    num_undefined: int
    left_out: tuple[str, ...] = ()

    @property
    def interval(self) -> Interval:
        """The 95 % interval."""
        return self.effect.interval()


def difference(
    name: str, values: Floats, regions: Regions, average: Average, findings: Sequence[str] = ()
) -> Difference:
    """Return a mean difference over regions; undefined if a run has no defined difference.

    Args:
        name: Finding, or `all`.
        values: (S, N) differences of S seeds and N regions; NaN where undefined.
        regions: Patient and finding of the N regions.
        average: What is averaged.
        findings: Names of the findings by code, needed for an average over findings.
    """
    is_missing = np.isnan(values)
    is_defined = (~is_missing).any(axis=0)  # (N,)
    effect = UNDEFINED
    num_effective = float("nan")
    left_out: tuple[str, ...] = ()
    # a run without any score cannot be left out silently, so nothing is estimated
    if values.size and not is_missing.all(axis=1).any():
        cells = region_cells(values, regions, average)
        runs = averaged(cells, average)
        effect = effect_of(runs)
        num_effective = float(runs.num_effective)
        if average == "findings":
            too_few = np.flatnonzero(cells.num_patients < MIN_FINDING_PATIENTS)
            left_out = tuple(findings[code] for code in too_few.tolist())
    return Difference(
        finding=name,
        average=average,
        effect=effect,
        num_rois=int(is_defined.sum()),
        num_patients=len(np.unique(regions.patient[is_defined])),
        num_differing=len(np.unique(regions.patient[(np.nan_to_num(values) != 0).any(axis=0)])),
        num_effective=num_effective,
        num_undefined=int(is_missing.sum()),
        left_out=left_out,
    )
