from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data_modules.mimic_cxr import MIMICCXRDataModule
from data_modules.mimic_cxr.labels import apply_policy
from data_modules.mimic_cxr.views import resolve_views
from data_modules.split import Split
from tests.data.mimic_cxr.data import ROWS, Study, write_mimic, write_tables

STUDY = np.arange(4)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_mimic(tmp_path)


def read(root: Path, *names: str, **arguments: object) -> dict[str, Split]:
    return dict(MIMICCXRDataModule(root, label_names=names or ("Cardiomegaly", "Edema"), **arguments).splits)  # type: ignore[arg-type]


def test_labels_of_a_study_follow_the_policies(root: Path) -> None:
    train = read(root, uncertainty="ones", blank="ignore")["train"].label
    np.testing.assert_array_equal(train, [[1, 1], [np.nan, 0]])
    train = read(root)["train"].label
    assert np.isnan(train[0, 1])
    assert train[1, 0] == 0


def test_policies_may_differ_by_finding(root: Path) -> None:
    rows = [
        *ROWS[2:],
        Study(10000001, 50000001, "a", "train", "PA", {"Cardiomegaly": -1, "Edema": -1, "Pneumonia": -1}),
    ]
    write_tables(root, rows)
    names = ("Cardiomegaly", "Edema", "Pneumonia")
    train = read(root, *names, uncertainty={"Cardiomegaly": "ones", "Edema": "zeros"})["train"]
    np.testing.assert_array_equal(train.label[train.sample_id == "a"], [[1, 0, np.nan]])
    with pytest.raises(ValueError, match="Did you mean 'Edema'"):
        read(root, *names, uncertainty={"Edem": "ones"})


@pytest.mark.parametrize("uncertainty", ["ones", "zeros", "ignore"])
@pytest.mark.parametrize("blank", ["zeros", "ignore"])
def test_uncertain_and_blank_are_replaced_apart(uncertainty: str, blank: str) -> None:
    result = apply_policy(np.array([1, 0, -1, np.nan], np.float32), uncertainty, blank, STUDY, "Edema")  # type: ignore[arg-type]
    expected = {"ones": 1.0, "zeros": 0.0, "ignore": np.nan}
    np.testing.assert_array_equal(result, [1, 0, expected[uncertainty], expected[blank]])


def test_smoothed_labels_are_drawn_once_per_study_and_finding() -> None:
    study = 50_000_000 + np.arange(20_000)
    values = np.full(len(study), -1, np.float32)
    drawn = apply_policy(values, "smoothed", "zeros", study, "Edema")
    assert 0.55 <= drawn.min() < 0.551
    assert 0.849 < drawn.max() <= 0.85
    assert drawn.mean() == pytest.approx(0.7, abs=0.002)
    assert drawn.std() == pytest.approx(0.3 / np.sqrt(12), abs=0.002)
    np.testing.assert_array_equal(apply_policy(values[:5], "smoothed", "zeros", study[:5], "Edema"), drawn[:5])
    other = apply_policy(values, "smoothed", "zeros", study, "Pneumonia")
    assert abs(np.corrcoef(drawn, other)[0, 1]) < 0.03


def test_smoothed_labels_are_for_training_only(root: Path) -> None:
    rows = [*ROWS, Study(10000009, 50000009, "z", "test", "AP", {"Cardiomegaly": 1, "Edema": -1})]
    write_tables(root, rows)
    splits = read(root, uncertainty="smoothed")
    assert 0.55 <= splits["train"].label[0, 1] <= 0.85
    assert np.isnan(splits["test"].label[splits["test"].sample_id == "z", 1]).all()


def test_no_finding_is_absent_where_another_finding_is_stated(root: Path) -> None:
    rows = [
        *ROWS,
        Study(10000007, 50000010, "n", "train", "AP", {"No Finding": 1}),
        Study(10000008, 50000011, "u", "train", "AP", {}),
    ]
    write_tables(root, rows)
    for blank in ("zeros", "ignore"):
        train = read(root, "No Finding", "Edema", blank=blank)["train"]
        found = dict(zip(train.sample_id.tolist(), train.label[:, 0].tolist(), strict=True))
        assert (found["a"], found["c"], found["n"]) == (0, 0, 1)
        assert np.isnan(found["u"])  # no label at all says nothing


def test_unlabelable_studies_have_no_label(root: Path) -> None:
    path = root / "mimic-cxr-2.0.0-chexpert.csv.gz"
    frame = pd.read_csv(path)
    frame[frame["study_id"] != 50000002].to_csv(path, index=False)
    assert np.isnan(read(root)["train"].label[1]).all()


def test_repeated_studies_are_refused(root: Path) -> None:
    path = root / "mimic-cxr-2.0.0-chexpert.csv.gz"
    frame = pd.read_csv(path)
    pd.concat([frame, frame.iloc[:1]]).to_csv(path, index=False)
    with pytest.raises(ValueError, match="1 studies have several"):
        read(root)


def test_negbio_is_another_table(root: Path) -> None:
    assert read(root, labeler="negbio")["train"].label[0, 1] == 0  # the writer has it negative, CheXpert uncertain


def test_test_labels_of_the_radiologist_replace_the_automatic_ones(root: Path) -> None:
    assert read(root)["test"].label[0].tolist() == [0, 1]
    manual = read(root, test_labels="radiologist")["test"].label
    assert manual[0].tolist() == [1, 0]
    assert np.isnan(manual[1]).all()  # a study that was not read by hand has no label


def test_the_radiologist_calls_an_opacity_by_another_name(root: Path) -> None:
    # the table of release 2.1.0 has no patients, and a column "Airspace Opacity"
    splits = read(root, "Lung Opacity", "Edema", test_labels="radiologist")
    assert splits["test"].label[0].tolist() == [1, 0]
    assert splits["val"].label[0].tolist() == [0, 0]  # the automatic table has the label's own name


def test_views_are_resolved_from_codes_only_where_they_are_missing() -> None:
    frame = pd.DataFrame(
        {
            "ViewPosition": ["PA", "LATERAL", "LL", None, None, None, None, "", "XTABLE LATERAL", "pa "],
            "ViewCodeSequence_CodeMeaning": [
                "lateral", "", "", "postero-anterior", "Left Lateral", None, "", "antero-posterior", "", "",
            ],
            "PerformedProcedureStepDescription": [
                "", "", "", "", "", "CHEST (PORTABLE AP)", "CHEST (PA AND LAT)", "", "", "",
            ],
        },
        index=range(5, 15),
    )  # fmt: skip
    assert resolve_views(frame).tolist() == [
        "PA", "LATERAL", "LATERAL", "PA", "LATERAL", "AP", "", "AP", "XTABLE LATERAL", "PA",
    ]  # fmt: skip
