"""Splits, labels and what a table's `rois.patients` leaves."""

from dataclasses import replace

import numpy as np
import pytest

from data_modules.checks import quick_problems
from data_modules.images.regions import BoxRegion, Roi
from data_modules.split import Split, taken_out
from tests.data_modules.checks.given import Given, check, only, problem


@pytest.mark.parametrize(
    ("first", "second"), [("P007", "p7"), ("anna-01", "Anna-1"), ("Zoé 1", "Zoe\u0301  1"), ("p7", "p7\u200b")]
)
def test_patients_whose_names_are_spelled_alike_are_pointed_out(
    splits: dict[str, Split], first: str, second: str
) -> None:
    for name, patient in (("train", first), ("val", second)):
        patients = splits[name].patient_id.astype("U32")
        patients[0] = patient
        splits[name] = replace(splits[name], patient_id=patients)
    report = check(splits, 0)
    assert problem(report) == ("warning", "patients", "train", 1)
    assert only(report).examples == (f"{first} and {second}",)


def test_a_region_of_a_label_that_is_zero_is_pointed_out(splits: dict[str, Split]) -> None:
    row = int(np.flatnonzero(splits["val"].label[:, 0] == 0)[0])
    rois = {**splits["val"].rois, row: (Roi(0, (BoxRegion((4, 4, 9, 9)),)),)}
    report = check(splits | {"val": replace(splits["val"], rois=rois)})
    assert problem(report) == ("warning", "regions", "val", 1)
    assert only(report).examples == (f"val{row}",)
    label = splits["val"].label.copy()
    label[row, 0] = np.nan  # not stated
    assert check(splits | {"val": replace(splits["val"], rois=rois, label=label)}).problems == ()


def test_what_is_left_of_positives_and_regions_is_said(splits: dict[str, Split]) -> None:
    train, num_rois = splits["train"], sum(len(splits[name].rois) for name in ("val", "test"))
    left = int((train.label[:, 0] == 1).sum())
    counts = {taken_out("Left Finding"): 40, "dropped_rois": 30}
    positives, regions = check(splits | {"train": replace(train, counts=counts)}).problems
    assert (positives.severity, positives.check, positives.count) == ("warning", "labels", left)
    assert f"{left} of {left + 40} are left" in positives.message
    assert (regions.severity, regions.check, regions.count) == ("warning", "regions", num_rois)
    assert f"{num_rois} of {num_rois + 30} are left" in regions.message
    assert "data.rois.patients" in positives.message
    assert "data.rois.patients" in regions.message


def test_a_label_that_a_few_samples_to_try_it_lack_is_no_error(splits: dict[str, Split]) -> None:
    label = splits["train"].label.copy()
    label[:, 0] = 0
    data = Given(splits | {"train": replace(splits["train"], label=label)})
    assert [found.severity for found in quick_problems(data, data.read_splits())] == ["error"]
    assert [found.severity for found in quick_problems(data, data.read_splits(), ["train"])] == ["warning"]
