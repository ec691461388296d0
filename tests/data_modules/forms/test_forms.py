from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from data_modules.forms import TableFromStrata, TextFromTable
from data_modules.mimic_cxr import TableFromText
from data_modules.mimic_cxr.masking import SYNONYMS
from data_modules.mimic_cxr.table_from_text import STATES, extract
from data_modules.split import Split, Table, patient_folds
from tests.tiny import TinyDataModule


def split() -> Split:
    names = ("margins=ILL_DEFINED", "margins=SPICULATED", "shape=OVAL")
    table = Table(
        np.array([[3.0], [np.nan], [1.5]], np.float32),
        np.array([[1, 1, 0], [0, 0, 1], [0, 0, 0]], np.float32),
        ("density",),
        names,
    )
    ids = np.array(["a", "b", "c"])
    view = np.array(["CC", "MLO", ""])
    has = np.array([True, True, False])
    return Split(ids, ids, [Path()] * 3, np.zeros((3, 1), np.float32), has, table=table, strata={"view": view})


def test_text_says_what_the_table_says_and_nothing_about_what_is_missing() -> None:
    rendered = TextFromTable()({"train": split()})["train"]
    assert rendered.report == ["Margins: ill defined and spiculated. Density: 3.", "Shape: oval.", ""]
    assert rendered.table is None
    assert TextFromTable(keep_table=True)({"train": split()})["train"].table is not None
    with pytest.raises(ValueError, match="has none"):
        TextFromTable()({"train": replace(split(), table=None)})


def test_strata_become_columns_of_the_values_seen_in_training() -> None:
    everyone = np.ones(3, np.bool_)
    other = replace(split(), strata={"view": np.array(["MLO", "LATERAL", "CC"])}, has_privileged=everyone)
    forms = TableFromStrata(["view"])({"train": split(), "val": other})
    table = forms["val"].table
    assert table is not None
    assert table.categorical_names == ("view=CC", "view=MLO")
    assert table.categorical.tolist() == [[0, 1], [0, 0], [1, 0]]
    assert forms["val"].has_privileged.tolist() == [True, False, True]
    assert forms["train"].has_privileged.tolist() == [True, True, False]
    without = replace(other, has_privileged=~everyone)
    assert not TableFromStrata(["view"])({"train": split(), "val": without})["val"].has_privileged.any()
    with pytest.raises(ValueError, match=r"\['view'\], but got \['machine'\]"):
        TableFromStrata(["machine"])({"train": split()})


@pytest.mark.parametrize(
    ("text", "finding", "state"),
    [
        ("There is a large left pleural effusion.", "Pleural Effusion", "present"),
        ("No pleural effusion or pneumothorax.", "Pneumothorax", "absent"),
        ("Possible small pneumothorax.", "Pneumothorax", "uncertain"),
        ("No pneumothorax; moderate effusion.", "Pleural Effusion", "present"),
        ("No pneumothorax but there is atelectasis.", "Atelectasis", "present"),
        ("No effusion. Effusion has grown.", "Pleural Effusion", "present"),
        ("The lungs are free of consolidation.", "Consolidation", "absent"),
        ("Atelectasis or pneumonia cannot be excluded.", "Pneumonia", "uncertain"),
    ],
)
def test_reports_are_read_as_a_person_would(text: str, finding: str, state: str) -> None:
    columns = [f"{name}={value}" for name in SYNONYMS for value in STATES]
    found = {name for name, value in zip(columns, extract(text), strict=True) if value}
    assert {name for name in found if name.startswith(f"{finding}=")} == {f"{finding}={state}"}


def test_a_table_from_text_has_42_columns_and_drops_the_text() -> None:
    with_text = replace(split(), report=["No effusion.", "", ""], table=None)
    made = TableFromText()({"train": with_text})["train"]
    assert made.table is not None
    assert made.table.categorical.shape == (3, 42)
    assert made.report is None
    assert not made.table.categorical[1:].any()


def test_folds_split_patients_evenly_whatever_their_order() -> None:
    patients = np.array([f"p{i // 3}" for i in range(60)])
    folds = patient_folds(patients, 4)
    assert np.bincount(folds).tolist() == [15, 15, 15, 15]
    assert all(len(set(folds[patients == name])) == 1 for name in np.unique(patients))
    order = np.random.default_rng(0).permutation(60)
    np.testing.assert_array_equal(patient_folds(patients[order], 4), folds[order])
    for wrong in (1, 21):
        with pytest.raises(ValueError, match="folds"):
            patient_folds(patients, wrong)


def test_a_held_out_fold_is_in_no_training_split(tmp_path: Path) -> None:
    whole = TinyDataModule(str(tmp_path)).splits["train"]
    folds = patient_folds(whole.patient_id, 3)
    for fold in range(3):
        data = TinyDataModule(str(tmp_path))
        data.hold_out(fold, 3)
        assert set(data.splits["train"].sample_id) == set(whole.sample_id[folds != fold])
        assert len(data.splits["val"]) == 16
    with pytest.raises(ValueError, match="fold in"):
        data.hold_out(3, 3)
