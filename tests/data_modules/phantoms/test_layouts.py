import csv
import hashlib
import json
import runpy
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pydicom
import pytest
from PIL import Image

from data_modules.phantoms import (
    BreastPhantomDataModule,
    ChestPhantomDataModule,
    write_breast_phantoms,
    write_chest_phantoms,
)
from data_modules.phantoms.breast.layout import plan_patients
from data_modules.phantoms.chest.layout import plan_studies
from data_modules.phantoms.writing import MANIFEST, STARTED, write_once
from tests.real import real_data

CHEST = {"num_train": 30, "num_val": 8, "num_test": 10}
BREAST = {"num_train": 36, "num_test": 10}


def hashes(root: Path) -> dict[str, str]:
    files = [path for path in root.rglob("*") if path.is_file() and path.suffix != ".gz"]
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def chest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("phantoms") / "chest"
    write_chest_phantoms(root, **CHEST, num_workers=0)  # type: ignore[arg-type]
    return root


@pytest.fixture(scope="module")
def breast(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("phantoms") / "breast"
    write_breast_phantoms(root, **BREAST, num_workers=0)  # type: ignore[arg-type]
    return root


def test_files_are_the_same_for_any_number_of_workers(chest: Path, breast: Path, tmp_path: Path) -> None:
    write_chest_phantoms(tmp_path / "chest", **CHEST, num_workers=2)  # type: ignore[arg-type]
    write_breast_phantoms(tmp_path / "breast", **BREAST, num_workers=2)  # type: ignore[arg-type]
    assert hashes(tmp_path / "chest") == hashes(chest)
    assert hashes(tmp_path / "breast") == hashes(breast)


def test_a_smaller_set_is_a_part_of_a_larger_one(chest: Path, breast: Path, tmp_path: Path) -> None:
    smaller_chest, smaller_breast = {**CHEST, "num_train": 12, "num_test": 4}, {**BREAST, "num_train": 15}
    write_chest_phantoms(tmp_path / "chest", **smaller_chest, num_workers=0)  # type: ignore[arg-type]
    write_breast_phantoms(tmp_path / "breast", **smaller_breast, num_workers=0)  # type: ignore[arg-type]
    for root, part in ((chest, tmp_path / "chest"), (breast, tmp_path / "breast")):
        images = {
            name: digest for name, digest in hashes(part).items() if Path(name).suffix in (".jpg", ".txt", ".dcm")
        }
        assert images
        assert images.items() <= hashes(root).items()


def test_label_noise_changes_labels_and_nothing_else(chest: Path, tmp_path: Path) -> None:
    write_chest_phantoms(tmp_path, **CHEST, label_noise="phrase", num_workers=0)  # type: ignore[arg-type]
    ours, theirs = hashes(chest), hashes(tmp_path)
    assert {name for name in ours | theirs if ours.get(name) != theirs.get(name)} == {MANIFEST}
    assert (tmp_path / "mimic-cxr-2.0.0-chexpert.csv.gz").read_bytes() != (
        chest / "mimic-cxr-2.0.0-chexpert.csv.gz"
    ).read_bytes()


def test_identifiers_are_unique_over_all_splits() -> None:
    studies = plan_studies({"train": 4000, "validate": 500, "test": 1000}, seed=0)
    assert len({study.study_id for study in studies}) == len({study.dicom_id for study in studies}) == 5500
    patients = plan_patients({"Training": 400, "Test": 100}, seed=0)
    assert len({patient.patient_id for patient in patients}) == len(patients)


def test_two_processes_that_want_the_same_folder_write_it_once(tmp_path: Path) -> None:
    root, written = tmp_path / "chest", tmp_path / "written.txt"

    def write() -> None:
        time.sleep(0.2)
        with written.open("a") as file:
            file.write("x")

    threads = [threading.Thread(target=write_once, args=(root, {"seed": 0}, write)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert written.read_text() == "x"
    assert (root / MANIFEST).is_file()


def test_phantoms_are_written_from_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = ["--num_train=3", "--num_val=1", "--num_test=1", "--num_workers=0"]
    monkeypatch.setattr("sys.argv", ["data_modules.phantoms", "chest", str(tmp_path / "chest"), *options])
    runpy.run_module("data_modules.phantoms", run_name="__main__")
    assert len(list((tmp_path / "chest").rglob("*.jpg"))) == 5


def test_chest_tables_have_the_columns_of_the_release(chest: Path) -> None:
    split = pd.read_csv(chest / "mimic-cxr-2.0.0-split.csv.gz")
    assert split.columns.tolist() == ["dicom_id", "study_id", "subject_id", "split"]
    assert set(split["split"]) == {"train", "validate", "test"}
    labels = pd.read_csv(chest / "mimic-cxr-2.0.0-chexpert.csv.gz")
    assert labels.columns.tolist()[:2] == ["subject_id", "study_id"]
    assert len(labels.columns) == 16
    assert set(np.unique(labels["Cardiomegaly"].dropna())) <= {-1.0, 0.0, 1.0}
    assert set(labels["No Finding"].dropna()) == {1.0}
    row = split.iloc[0]
    path = chest / f"files/p{str(row.subject_id)[:2]}/p{row.subject_id}/s{row.study_id}/{row.dicom_id}.jpg"
    with Image.open(path) as image:
        assert image.mode == "L"
        assert image.size == (128, 128)
    patients = split.groupby("subject_id")["split"].nunique()
    assert (patients == 1).all()


def test_boxes_are_in_held_out_images_only(chest: Path) -> None:
    boxes = pd.read_csv(chest / "MS_CXR_Local_Alignment_v1.1.0.csv")
    split = pd.read_csv(chest / "mimic-cxr-2.0.0-split.csv.gz").set_index("dicom_id")["split"]
    assert set(split[boxes["dicom_id"]]) == {"validate", "test"}
    assert ((boxes["x"] + boxes["w"]) <= boxes["image_width"]).all()


def test_description_files_have_the_real_headers_line_ends_and_embedded_newlines(breast: Path) -> None:
    real = real_data("cbis_ddsm_csv")
    for kind in ("mass", "calc"):
        for part in ("train", "test"):
            name = f"{kind}_case_description_{part}_set.csv"
            ours, theirs = ((folder / name).read_bytes() for folder in (breast, real))
            assert ours.split(b"\r\n")[0] == theirs.split(b"\r\n")[0]
    with (breast / "mass_case_description_train_set.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert all(row["ROI mask file path"].endswith(".dcm\n") for row in rows)


def test_the_dicom_tree_holds_full_image_crop_and_mask(breast: Path) -> None:
    with (breast / "mass_case_description_test_set.csv").open(newline="") as file:
        row = next(csv.DictReader(file))
    full = pydicom.dcmread(breast / "CBIS-DDSM" / row["image file path"].replace("000000.dcm", "1-1.dcm"))
    assert full.pixel_array.dtype == np.uint16
    assert full.pixel_array.shape == (128, 128)
    folder = (breast / "CBIS-DDSM" / row["cropped image file path"]).parent
    levels = sorted(len(np.unique(pydicom.dcmread(path).pixel_array)) for path in folder.iterdir())
    assert levels[0] == 2
    assert levels[1] > 2


def test_writing_again_does_nothing_and_other_settings_are_refused(chest: Path) -> None:
    before = (chest / MANIFEST).stat().st_mtime_ns
    write_chest_phantoms(chest, **CHEST)  # type: ignore[arg-type]
    assert (chest / MANIFEST).stat().st_mtime_ns == before
    with pytest.raises(FileExistsError, match="seed 0 instead of 1"):
        write_chest_phantoms(chest, **CHEST, seed=1)  # type: ignore[arg-type]


def test_an_interrupted_folder_is_written_again_and_a_foreign_one_refused(tmp_path: Path) -> None:
    root = tmp_path / "chest"
    (root / "files").mkdir(parents=True)
    with pytest.raises(FileExistsError, match="other files"):
        write_chest_phantoms(root, **CHEST, num_workers=0)  # type: ignore[arg-type]
    (root / STARTED).write_text(json.dumps({}))
    (root / "files" / "left.jpg").write_text("half")
    write_chest_phantoms(root, **CHEST, num_workers=0)  # type: ignore[arg-type]
    assert (root / MANIFEST).is_file()
    assert not (root / "files" / "left.jpg").exists()


def test_chest_phantoms_come_back_through_the_reader_of_mimic_cxr(chest: Path) -> None:
    data = ChestPhantomDataModule(chest, **CHEST, batch_size=10)  # type: ignore[arg-type]
    assert {name: len(split) for name, split in data.splits.items()} == {"train": 30, "val": 8, "test": 10}
    test = data.splits["test"]
    assert not np.isnan(test.label).any()  # the radiologist's labels state everything
    boxed = {(i, roi.label) for i, rois in test.rois.items() for roi in rois}
    positive = {(int(i), int(k)) for i, k in np.argwhere(test.label == 1)}
    assert boxed <= positive
    assert len(boxed) >= 0.9 * len(positive)
    batch = next(iter(data.test_dataloader()))
    assert batch["roi_mask"].any(dim=(1, 2)).all()


def test_breast_phantoms_come_back_through_the_reader_of_cbis_ddsm(breast: Path) -> None:
    data = BreastPhantomDataModule(breast, **BREAST, batch_size=10)  # type: ignore[arg-type]
    assert len(data.splits["test"]) == 10
    assert len(data.splits["train"]) + len(data.splits["val"]) == 36
    frame = pd.read_csv(breast / "mass_case_description_test_set.csv")
    assert data.splits["test"].label.sum() == (frame["pathology"] == "MALIGNANT").sum()
    batch = next(iter(data.test_dataloader()))
    assert len(batch["roi_mask"]) == 10
    assert batch["roi_mask"].any(dim=(1, 2)).all()
    inside = batch["image"][:, 0][batch["roi_mask"]].mean()
    assert inside > batch["image"].mean()


def test_the_hard_preset_breaks_files_and_readers_say_which(tmp_path: Path) -> None:
    write_chest_phantoms(tmp_path, **CHEST, preset="hard", num_workers=0)  # type: ignore[arg-type]
    views = pd.read_csv(tmp_path / "mimic-cxr-2.0.0-metadata.csv.gz")["ViewPosition"]
    assert views.isna().any()
    assert (views == "LATERAL").any()
