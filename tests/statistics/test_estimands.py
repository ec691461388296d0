"""What is averaged, against plain loops over patients and findings."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmpkd.statistics.arrays import Floats
from mmpkd.statistics.estimands import AVERAGES, Average, Regions, region_cells, run_means
from tests.statistics.tables import drawn


def plain(values: Floats, regions: Regions, average: Average) -> float:
    """Return the average of one run, by loops."""
    if average == "regions":
        return float(np.nanmean(values))
    findings = sorted(set(regions.finding.tolist())) if average == "findings" else [None]
    means = []
    for finding in findings:
        of_patients = []
        for patient in sorted(set(regions.patient.tolist())):
            chosen = regions.patient == patient
            if finding is not None:
                chosen &= regions.finding == finding
            own = values[chosen]
            if (~np.isnan(own)).any():
                of_patients.append(np.nanmean(own))
        if len(of_patients) >= (5 if average == "findings" else 1):
            means.append(np.mean(of_patients))
    return float(np.mean(means))


def without(values: Floats, regions: Regions, patient: int) -> tuple[Floats, Regions]:
    kept = regions.patient != patient
    return values[kept], Regions(regions.patient[kept], regions.finding[kept])


@settings(max_examples=15, deadline=None)
@given(st.sampled_from(AVERAGES), st.integers(0, 1000))
def test_averages_and_the_jackknife_are_those_of_plain_loops(average: Average, seed: int) -> None:
    values, regions = drawn(2, 24, seed=seed)
    values[np.random.default_rng(seed).random(values.shape) < 0.05] = np.nan
    found = run_means(values, regions, average)
    assert found.values == pytest.approx([plain(row, regions, average) for row in values])
    # findings are chosen once, by their counts: none of them is near five patients here
    # a patient without a defined score has no place
    patients = np.unique(regions.patient[~np.isnan(values).all(axis=0)])
    for place in (0, 11, len(patients) - 1):
        expected = [plain(*without(row, regions, int(patients[place])), average) for row in values]
        assert found.without[:, place] == pytest.approx(expected)
    assert found.weights.sum() == pytest.approx(1)


def test_a_finding_of_four_patients_takes_no_part() -> None:
    patient = np.concatenate([np.arange(10), np.arange(4)])
    finding = np.repeat([0, 1], [10, 4])
    values = np.where(finding == 1, 100.0, 1.0)[None]
    assert run_means(values, Regions(patient, finding), "findings").values.tolist() == [1.0]
    five = Regions(np.append(patient, 4), np.append(finding, 1))
    assert run_means(np.append(values, [[100.0]], axis=1), five, "findings").values.tolist() == [50.5]


def test_patients_without_a_defined_score_do_not_count() -> None:
    values = np.array([[1.0, np.nan, 3.0]])
    found = run_means(values, Regions(np.arange(3), np.zeros(3, np.int64)), "patients")
    assert found.values.tolist() == [2.0]
    assert found.without.tolist() == [[3.0, 1.0]]
    assert float(found.num_effective) == pytest.approx(2)


def test_the_effective_number_of_patients_is_that_of_kish() -> None:
    patient = np.array([0] * 8 + [1, 2])
    regions = Regions(patient, np.zeros(10, np.int64))
    values = np.ones((1, 10))
    assert float(run_means(values, regions, "regions").num_effective) == pytest.approx(10**2 / (8**2 + 1 + 1))
    assert float(run_means(values, regions, "patients").num_effective) == pytest.approx(3)


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match=r"but got \(1, 3\), \(2,\) and \(3,\)"):
        region_cells(np.zeros((1, 3)), Regions(np.zeros(2, np.int64), np.zeros(3, np.int64)), "patients")
