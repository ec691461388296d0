from pathlib import Path

import pandas as pd
import pytest

from data_modules.cbis_ddsm.tables import read_tables
from tests.data.cbis_ddsm.data import Lesion, example, write_tables


def _replace(root: Path, old: str, new: str, name: str = "mass_case_description_train_set.csv") -> None:
    path = root / name
    text = path.read_bytes().decode()
    assert old in text
    path.write_bytes(text.replace(old, new).encode())


def test_both_kinds_share_canonical_columns(tmp_path: Path) -> None:
    lesions = [
        Lesion("P_00001", "MALIGNANT", density="3", first="IRREGULAR-ROUND", second="N/A", assessment="5"),
        Lesion("P_00002", kind="calc", subset="test", side="RIGHT", view="MLO", number=2, density="4", second="N/A"),
    ]
    write_tables(tmp_path, lesions)
    frame = read_tables(tmp_path, "both")
    assert frame["kind"].tolist() == ["mass", "calc"]
    assert frame["subset"].tolist() == ["train", "test"]
    assert frame["density"].tolist() == [3.0, 4.0]
    assert frame["abnormality_id"].tolist() == [1, 2]
    assert frame["shape"].iloc[0] == "IRREGULAR-ROUND"
    assert frame["calc_type"].iloc[1] == "PLEOMORPHIC"
    missing = frame[["shape", "margins", "calc_type", "distribution"]].isna().to_numpy().tolist()
    assert missing == [[False, True, True, True], [True, True, False, True]]
    assert frame["roi_folder"].tolist() == ["Mass-Training_P_00001_LEFT_CC_1", "Calc-Test_P_00002_RIGHT_MLO_2"]


def test_folders_are_those_of_the_path_columns(tmp_path: Path) -> None:
    write_tables(tmp_path, example())
    raw = pd.read_csv(tmp_path / "mass_case_description_train_set.csv")
    frame = read_tables(tmp_path, "mass")
    frame = frame[frame["subset"] == "train"]
    assert frame["image_folder"].tolist() == raw["image file path"].str.split("/").str[0].tolist()
    assert frame["roi_folder"].tolist() == raw["ROI mask file path"].str.split("/").str[0].tolist()


@pytest.mark.parametrize("value", ["N/A", "NA", ""])
def test_every_spelling_of_missing(tmp_path: Path, value: str) -> None:
    write_tables(tmp_path, [Lesion("P_00001", second=value), Lesion("P_00002", subset="test")])
    assert read_tables(tmp_path, "mass")["margins"].isna().tolist() == [True, False]


def test_zero_is_missing_in_ratings(tmp_path: Path) -> None:
    lesion = Lesion("P_00001", density="0", assessment="0", subtlety="0")
    write_tables(tmp_path, [lesion, Lesion("P_00002", subset="test", density="1", assessment="1", subtlety="1")])
    frame = read_tables(tmp_path, "mass")[["density", "assessment", "subtlety"]]
    assert frame.isna().all(axis=1).tolist() == [True, False]


def test_columns_are_found_by_name(tmp_path: Path) -> None:
    write_tables(tmp_path, example())
    expected = read_tables(tmp_path, "mass")
    for path in tmp_path.glob("mass*.csv"):
        raw = pd.read_csv(path, keep_default_na=False, dtype=str)
        raw[raw.columns[::-1]].assign(patient_age="55").to_csv(path, index=False)
    pd.testing.assert_frame_equal(read_tables(tmp_path, "mass"), expected)


def test_files_may_lie_in_a_csv_folder(tmp_path: Path) -> None:
    write_tables(tmp_path / "csv", example())
    assert len(read_tables(tmp_path, "mass")) == len(example())


def test_a_kind_without_rows_is_read(tmp_path: Path) -> None:
    write_tables(tmp_path, example())
    assert set(read_tables(tmp_path, "both")["kind"]) == {"mass"}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (",BENIGN,", ",benign,", "pathology.*benign"),
        (",LEFT,", ",L,", r"side.*\['L'\]"),
        (",CC,", ",LM,", "view.*LM"),
        (",mass,", ",calcification,", "type.*calcification"),
        ("P_00000,2,", "P_00000,7,", "density.*0 \\(missing\\) to 4.*'7'"),
        ("P_00000,2,", "P_00000,2.5,", "density.*'2.5'"),
        ("P_00000,2,", "00000,2,", "patient_id.*'00000'"),
        ("mass margins", "margin", r"Expected the columns \['mass margins'\]"),
    ],
)
def test_what_is_outside_the_vocabulary_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    write_tables(tmp_path, example())
    _replace(tmp_path, old, new)
    with pytest.raises(ValueError, match=message):
        read_tables(tmp_path, "mass")


def test_repeated_abnormality_is_refused(tmp_path: Path) -> None:
    write_tables(tmp_path, [Lesion("P_00001"), Lesion("P_00001", first="ROUND"), Lesion("P_00002", subset="test")])
    with pytest.raises(ValueError, match="one row per patient, side, view and abnormality"):
        read_tables(tmp_path, "mass")


def test_missing_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"mass_case_description_train_set\.csv.*Download"):
        read_tables(tmp_path, "mass")


def test_description_files_are_found_below_the_root(tmp_path: Path) -> None:
    folder = tmp_path / "mirror" / "CBIS-DDSM" / "tables"
    folder.mkdir(parents=True)
    write_tables(folder, example())
    pd.testing.assert_frame_equal(read_tables(tmp_path, "mass"), read_tables(folder, "mass"))
