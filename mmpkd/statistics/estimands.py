"""Estimands of a study: scores of regions, averaged over patients, findings or regions, and then over runs.

Each average is a mean of K weighted means over patients: K = 1 for an average over regions or patients, and one mean per finding
for an average over findings. Each mean is kept together with its values without each patient, which is all that the jackknife
needs. Arrays may have leading axes for many tables at once, written `...`.
"""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from mmpkd.statistics.arrays import Codes, Floats

Average = Literal["patients", "findings", "regions"]
AVERAGES: tuple[Average, ...] = get_args(Average)
# findings with fewer patients are left out of an average over findings
MIN_FINDING_PATIENTS = 5


@dataclass(frozen=True)
class Regions:
    """Patient and finding of each scored region.

    Attributes:
        patient: (N,) patient of each region, as integers from 0.
        finding: (N,) finding of each region, as integers from 0.
    """

    patient: Codes
    finding: Codes


@dataclass(frozen=True)
class RunMeans:
    """An average in each of S runs, with its values without each of P patients.

    Attributes:
        values: (..., S) the average.
        without: (..., S, P) the average without each patient.
        weights: (..., P) share of each patient in the average; the shares sum to 1.
    """

    values: Floats
    without: Floats
    weights: Floats

    @property
    def num_effective(self) -> Floats:
        """Effective number of patients (...,), 1 / sum of squared shares (Kish 1965): as many of equal weight are as precise."""
        return np.asarray(1 / np.square(self.weights).sum(axis=-1))


@dataclass(frozen=True)
class CellMeans:
    """K means over patients in each of S runs.

    Attributes:
        values: (..., S, K) the means; NaN without patients.
        without: (..., S, P, K) the means without each patient.
        shares: (..., P, K) share of each patient in each mean, averaged over runs.
        num_patients: (..., K) number of patients in each mean, in the run with the fewest.
    """

    values: Floats
    without: Floats
    shares: Floats
    num_patients: Codes

    def combined(self, coefficients: Floats) -> RunMeans:
        """Return a weighted sum of the means.

        Args:
            coefficients: (..., K) coefficients of the means; means with coefficient 0 are ignored, even if they are NaN.

        Returns:
            The sum, with the patients' weights scaled to a sum of 1.
        """
        per_run = coefficients[..., None, :]
        # a mask, not only the product: 0 * NaN is NaN
        used = per_run != 0
        values = np.where(used, self.values, 0.0) * per_run
        without = np.where(used[..., None, :], self.without, 0.0) * per_run[..., None, :]
        # the sign does not matter: a mean that is subtracted carries as much information as one that is added
        shares = (np.where(used, self.shares, 0.0) * np.abs(per_run)).sum(axis=-1)
        return RunMeans(values.sum(axis=-1), without.sum(axis=-1), shares / shares.sum(axis=-1, keepdims=True))


def cell_sums(values: Floats, regions: Regions, num_patients: int, num_findings: int) -> tuple[Floats, Floats]:
    """Add up scores by patient and finding.

    Args:
        values: (S, N) scores, or differences of scores; NaN where undefined.
        regions: Patient and finding of the N regions.
        num_patients: Number of patients P.
        num_findings: Number of findings F.

    Returns:
        Sums and counts of the defined values, both (S, P, F).

    Raises:
        ValueError: If the shapes do not fit.

    Example:
        >>> regions = Regions(np.array([0, 0, 1]), np.array([0, 1, 1]))
        >>> cell_sums(np.array([[1.0, 2.0, np.nan]]), regions, 2, 2)[0].tolist()
        [[[1.0, 2.0], [0.0, 0.0]]]
    """
    if values.ndim != 2 or not regions.patient.shape == regions.finding.shape == values.shape[1:]:
        raise ValueError(
            f"Expected `values` (S, N), and a patient and a finding (N,) for each region, but got {values.shape}, "
            f"{regions.patient.shape} and {regions.finding.shape}."
        )
    # `bincount` has one dimension, so each (patient, finding) gets a number of its own
    cell = regions.patient * num_findings + regions.finding
    size = num_patients * num_findings
    defined = ~np.isnan(values)
    total = [np.bincount(cell, row, size) for row in np.where(defined, values, 0.0)]
    count = [np.bincount(cell, row, size) for row in defined]
    shape = (len(values), num_patients, num_findings)
    return np.reshape(total, shape), np.reshape(count, shape)


def means_over_patients(total: Floats, count: Floats) -> CellMeans:
    """Return K means over patients, each a ratio of sums.

    Args:
        total: (..., S, P, K) contribution of each patient to the numerator.
        count: (..., S, P, K) contribution of each patient to the denominator.

    Example:
        >>> means = means_over_patients(np.array([[[1.0], [4.0]]]), np.array([[[1.0], [2.0]]]))  # one run, two patients
        >>> means.values.tolist(), means.without.tolist()
        ([[1.667]], [[[2.0], [1.0]]])
    """
    # leaving a patient out subtracts its part from the sums: O(P), not O(P^2)
    sums = total.sum(axis=-2)  # (..., S, K)
    counts = _or_nan(count.sum(axis=-2))  # (..., S, K)
    rest = _or_nan(counts[..., None, :] - count)  # (..., S, P, K)
    return CellMeans(
        values=sums / counts,
        without=(sums[..., None, :] - total) / rest,
        shares=(count / counts[..., None, :]).mean(axis=-3),
        num_patients=(count > 0).sum(axis=-2).min(axis=-2),
    )


def cell_means(total: Floats, count: Floats, average: Average) -> CellMeans:
    """Return the means over patients that make up an average: one, or one per finding.

    Args:
        total: (..., S, P, F) sum of the scores of each patient's regions of each finding.
        count: (..., S, P, F) number of these regions.
        average: What is averaged, see `run_means`.

    Example:
        >>> total = np.array([[[1.0, 0.0], [0.0, 4.0]]])  # one run, two patients, two findings
        >>> count = np.array([[[1.0, 1.0], [0.0, 2.0]]])
        >>> cell_means(total, count, "findings").values.tolist(), cell_means(total, count, "patients").values.tolist()
        ([[1.0, 1.0]], [[1.25]])
    """
    if average == "findings":
        return means_over_patients(*_per_cell(total, count))
    total = total.sum(axis=-1, keepdims=True)
    count = count.sum(axis=-1, keepdims=True)
    return means_over_patients(total, count) if average == "regions" else means_over_patients(*_per_cell(total, count))


def averaged(cells: CellMeans, average: Average) -> RunMeans:
    """Return the average of its means: over findings, of those with at least five patients; NaN if there is none.

    Example:
        >>> regions = Regions(np.array([0, 0, 0, 1]), np.zeros(4, np.int64))
        >>> averaged(region_cells(np.array([[1.0, 1.0, 1.0, 0.0]]), regions, "patients"), "patients").values.tolist()
        [0.5]
    """
    kept = cells.num_patients >= (MIN_FINDING_PATIENTS if average == "findings" else 1)
    return cells.combined(kept / _or_nan(kept.sum(axis=-1, keepdims=True)))


def run_means(values: Floats, regions: Regions, average: Average) -> RunMeans:
    """Return an average of scores in each run, over the patients that have a defined score.

    Args:
        values: (S, N) scores of S runs on N regions, or differences of scores; NaN where undefined.
        regions: Patient and finding of the N regions.
        average: `patients`: mean over patients of each patient's mean over regions. `findings`: mean over findings of the mean
            over the patients who have them. `regions`: mean over regions.

    Raises:
        ValueError: If the shapes do not fit.

    Example:
        >>> regions = Regions(np.array([0, 0, 0, 1]), np.zeros(4, np.int64))
        >>> values = np.array([[1.0, 1.0, 1.0, 0.0]])
        >>> run_means(values, regions, "regions").values.tolist(), run_means(values, regions, "patients").values.tolist()
        ([0.75], [0.5])
    """
    return averaged(region_cells(values, regions, average), average)


def region_cells(values: Floats, regions: Regions, average: Average) -> CellMeans:
    """Return the means over patients that `run_means` averages.

    Example:
        >>> regions = Regions(np.array([0, 0, 1]), np.array([0, 1, 1]))
        >>> region_cells(np.array([[1.0, 2.0, 4.0]]), regions, "findings").values.tolist()
        [[1.0, 3.0]]
    """
    num_findings = int(regions.finding.max(initial=0)) + 1
    total, count = cell_sums(values, regions, int(regions.patient.max(initial=0)) + 1, num_findings)
    # a patient without any defined score must not count towards the number of patients P
    present = count.any(axis=(0, 2))
    return cell_means(total[:, present], count[:, present], average)


def _per_cell(total: Floats, count: Floats) -> tuple[Floats, Floats]:
    """Return the mean of each cell (0 for an empty cell), and 1 or 0 for whether it has one."""
    has = count > 0
    return np.where(has, total / np.where(has, count, 1.0), 0.0), has.astype(np.float64)


def _or_nan(count: Floats) -> Floats:
    return np.where(count > 0, count, np.nan)
