from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data_modules.cbis_ddsm.split import assign_subsets
from data_modules.cbis_ddsm.tables import read_tables
from tests.data.cbis_ddsm.data import Lesion, write_tables


@pytest.fixture
def frame(tmp_path: Path) -> pd.DataFrame:
    lesions = [
        Lesion(f"P_{number:05d}", "MALIGNANT" if number < 16 and view == "CC" else "BENIGN", view=view)
        for number in range(40)
        for view in ("CC", "MLO")
    ]
    lesions.append(Lesion("P_00099", subset="test"))
    write_tables(tmp_path, lesions)
    return read_tables(tmp_path, "both")


def _val_patients(frame: pd.DataFrame, fraction: float = 0.25, seed: int = 0) -> set[str]:
    assigned, _ = assign_subsets(frame, fraction, seed)
    return set(assigned.loc[assigned["subset"] == "val", "patient_id"])


def test_validation_is_drawn_by_patient_and_stratified(frame: pd.DataFrame) -> None:
    assigned, _ = assign_subsets(frame, 0.25, 0)
    train, val = (set(assigned.loc[assigned["subset"] == name, "patient_id"]) for name in ("train", "val"))
    assert not train & val
    assert len(val) == 10
    assert sum(patient < "P_00016" for patient in val) == 4


def test_draw_is_deterministic_and_does_not_depend_on_row_order(frame: pd.DataFrame) -> None:
    assert _val_patients(frame) == _val_patients(frame.sample(frac=1, random_state=1).reset_index(drop=True))
    assert _val_patients(frame) != _val_patients(frame, seed=1)


def test_patients_in_train_of_one_kind_and_test_of_the_other_leave_training(tmp_path: Path) -> None:
    lesions = [
        Lesion("P_00001"),
        Lesion("P_00001", kind="calc", subset="test"),
        Lesion("P_00002", kind="calc"),
        Lesion("P_00002", subset="test"),
        *(Lesion(f"P_0001{number}") for number in range(8)),
        Lesion("P_00010", kind="calc"),
    ]
    write_tables(tmp_path, lesions)
    assigned, num_dropped = assign_subsets(read_tables(tmp_path, "both"), 0.25, 0)
    assert num_dropped == 2
    assert assigned.loc[assigned["subset"] == "test", "patient_id"].tolist() == ["P_00002", "P_00001"]
    assert not set(assigned.loc[assigned["subset"] != "test", "patient_id"]) & {"P_00001", "P_00002"}
    assert assign_subsets(read_tables(tmp_path, "mass"), 0.25, 0)[1] == 0


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, np.nan])
def test_fraction_is_checked(frame: pd.DataFrame, fraction: float) -> None:
    with pytest.raises(ValueError, match=r"val_fraction to be in \(0, 1\)"):
        assign_subsets(frame, fraction, 0)


def test_validation_is_stratified_by_kind_of_lesion_too(tmp_path: Path) -> None:
    lesions = [Lesion(f"P_{number:05d}", kind="mass" if number < 20 else "calc") for number in range(60)]
    lesions += [Lesion("P_00099", subset="test"), Lesion("P_00098", kind="calc", subset="test")]
    write_tables(tmp_path, lesions)
    for seed in range(5):
        drawn = _val_patients(read_tables(tmp_path, "both"), 0.25, seed)
        assert sum(patient < "P_00020" for patient in drawn) == 5
        assert len(drawn) == 15
