"""The four distributed description files; the expected figures were counted independently of the reader."""

import re
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from data_modules.cbis_ddsm import CBISDDSMDataModule
from data_modules.cbis_ddsm.descriptors import Preset
from data_modules.cbis_ddsm.tables import Abnormality, read_tables
from data_modules.split import Split


@pytest.fixture(scope="module")
def root(real_data: Path) -> Path:
    return real_data / "cbis_ddsm_csv"


def _module(
    root: Path, abnormality: Abnormality, columns: Preset = "descriptors", drop: bool = False, image: bool = False
) -> CBISDDSMDataModule:
    return CBISDDSMDataModule(
        root,
        abnormality=abnormality,
        columns=columns,
        unit="image" if image else "abnormality",
        without_callback="drop" if drop else "benign",
        load_images=False,
    )


def _count(module: CBISDDSMDataModule, name: str) -> int:
    return sum(split.counts[name] for split in module.splits.values())


def test_rows_and_pathologies(root: Path) -> None:
    frame = read_tables(root, "both")
    rows = frame.groupby(["kind", "subset", "pathology"]).size()
    expected = {
        ("mass", "train"): (637, 577, 104),
        ("mass", "test"): (147, 194, 37),
        ("calc", "train"): (544, 528, 474),
        ("calc", "test"): (129, 130, 67),
    }
    for key, counts in expected.items():
        found = tuple(int(rows[(*key, name)]) for name in ("MALIGNANT", "BENIGN", "BENIGN_WITHOUT_CALLBACK"))
        assert found == counts
    assert frame.groupby(["kind", "subset"])["patient_id"].nunique().to_dict() == {
        ("mass", "train"): 691,
        ("mass", "test"): 201,
        ("calc", "train"): 602,
        ("calc", "test"): 151,
    }


def test_missing_values(root: Path) -> None:
    frame = read_tables(root, "both")
    missing = {key: rows.isna().sum() for key, rows in frame.groupby(["kind", "subset"])}
    assert missing[("mass", "train")][["shape", "margins", "subtlety"]].tolist() == [4, 43, 2]
    assert missing[("mass", "test")][["shape", "margins"]].tolist() == [0, 17]
    assert missing[("calc", "train")][["calc_type", "distribution"]].tolist() == [20, 376]
    assert missing[("calc", "test")][["calc_type", "distribution", "density"]].tolist() == [4, 63, 2]
    assert int(frame["assessment"].isna().sum()) == 238


def test_folders_agree_with_the_path_columns(root: Path) -> None:
    frame = read_tables(root, "both")
    for (kind, subset), rows in frame.groupby(["kind", "subset"]):
        text = (root / f"{kind}_case_description_{subset}_set.csv").read_text()
        first_components = set(re.findall(r"[\",](\w+-\w+?)/", text))
        assert first_components == {*rows["image_folder"], *rows["roi_folder"]}


@pytest.mark.parametrize(("abnormality", "train", "test", "mixed"), [("mass", 1231, 361, 8), ("calc", 1227, 284, 9)])
def test_images(root: Path, abnormality: Abnormality, train: int, test: int, mixed: int) -> None:
    module = _module(root, abnormality, image=True)
    module.setup("fit")
    assert len(module.splits["train"]) + len(module.splits["val"]) == train
    assert len(module.splits["test"]) == test
    assert _count(module, "malignant_and_benign") == mixed
    assert module.splits["train"].counts["dropped_leaked_patients"] == 0


def test_pooled_masses_and_calcifications_do_not_leak(root: Path) -> None:
    module = _module(root, "both")
    module.setup("fit")
    assert module.splits["train"].counts["dropped_leaked_patients"] == 31
    assert len(module.splits["train"]) + len(module.splits["val"]) == 2781
    assert len(module.splits["test"]) == 378 + 326


def test_images_of_both_kinds_are_one_sample(root: Path) -> None:
    frame = read_tables(root, "both")
    assert frame.drop_duplicates(["patient_id", "side", "view"]).shape[0] == 3032
    module = _module(root, "both", image=True)
    rows = frame[~frame["patient_id"].isin(_leaked(root)) | (frame["subset"] == "test")]
    assert sum(len(split) for split in module.splits.values()) == len(
        rows.drop_duplicates(["patient_id", "side", "view"])
    )


def _leaked(root: Path) -> set[str]:
    frame = read_tables(root, "both")
    train, test = (set(frame.loc[frame["subset"] == name, "patient_id"]) for name in ("train", "test"))
    return train & test


@pytest.mark.parametrize("abnormality", ["mass", "calc"])
def test_validation_is_the_same_for_teacher_and_student(root: Path, abnormality: Abnormality) -> None:
    modules = [_module(root, abnormality, image=image, drop=drop) for image in (True, False) for drop in (True, False)]
    patients = [set(module.splits["val"].patient_id.tolist()) for module in modules]
    # dropping lesions may drop a patient altogether, and never moves one
    assert patients[1] == patients[3]
    assert patients[0] <= patients[1]
    assert all(not drawn & set(module.splits["train"].patient_id.tolist()) for drawn in patients for module in modules)


def test_validation_has_the_share_of_malignant_patients(root: Path) -> None:
    splits = _module(root, "mass").splits
    train, val = (_malignant_share(splits[name]) for name in ("train", "val"))
    assert abs(train - val) < 0.01
    assert len(set(splits["val"].patient_id)) == pytest.approx(0.15 * 691, abs=1)


def _malignant_share(split: Split) -> float:
    patients = np.unique(split.patient_id)
    return float(np.mean([split.label[split.patient_id == patient].max() for patient in patients]))


@pytest.mark.parametrize(
    ("abnormality", "columns", "drop", "expected"),
    [
        ("mass", "descriptors", False, 0.823),
        ("calc", "descriptors", False, 0.776),
        ("calc", "descriptors", True, 0.662),
        ("mass", "all_with_birads", False, 0.886),
        ("calc", "all_with_birads", False, 0.878),
        ("mass", "nuisance", False, 0.464),
        ("calc", "nuisance", False, 0.514),
    ],
)
def test_logistic_regression_reaches_the_published_calibration(
    root: Path, abnormality: Abnormality, columns: Preset, drop: bool, expected: float
) -> None:
    # trained on the whole official training set, lesions without call-back included, as the reference was
    training = _module(root, abnormality, columns).splits
    test = _module(root, abnormality, columns, drop=drop).splits["test"]
    features = [_features(training[name]) for name in ("train", "val")]
    labels = [training[name].label[:, 0] for name in ("train", "val")]
    model = LogisticRegression(max_iter=1000).fit(np.concatenate(features), np.concatenate(labels))
    auc = roc_auc_score(test.label[:, 0], model.predict_proba(_features(test))[:, 1])
    assert auc == pytest.approx(expected, abs=0.03), f"{auc:.3f}"


def _features(split: Split) -> NDArray[np.float32]:
    """Return the table with its numbers one-hot, as in the reference: they are grades, not quantities."""
    assert split.table is not None
    grades = split.table.numeric[:, :, None] == np.arange(8)
    return np.concatenate([grades.reshape(len(split), -1), split.table.categorical], axis=1)
