import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data_modules.images.regions import BoxRegion
from data_modules.mimic_cxr import MIMICCXRDataModule
from data_modules.mimic_cxr.rois import RoiOptions
from tests.data.mimic_cxr.data import (
    FRAME,
    ROWS,
    unpack,
    write_archive,
    write_images,
    write_mimic,
    write_ms_cxr,
    write_reports,
    write_tables,
)

FINDINGS = ("Cardiomegaly", "Edema")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_mimic(tmp_path / "mimic")


def read(root: Path, **arguments: object) -> MIMICCXRDataModule:
    options = {"label_names": FINDINGS, "image_size": 20, "resize": "stretch", **arguments}
    return MIMICCXRDataModule(root, **options)  # type: ignore[arg-type]


def test_official_splits_frontal_views_and_reports(root: Path) -> None:
    splits = read(root).splits
    assert {name: split.sample_id.tolist() for name, split in splits.items()} == {
        "train": ["a", "c"],
        "val": ["e"],
        "test": ["f", "g"],
    }
    train = splits["train"]
    assert train.report == ["The heart is enlarged. There is no pneumothorax. The patient is rotated.", ""]
    assert train.has_privileged.tolist() == [True, False]
    assert train.image[0] == root / "files/p10/p10000001/s50000001/a.jpg"
    assert splits["test"].strata["view"].tolist() == ["AP", "AP"]


def test_counts_stand_next_to_the_published_ones(root: Path) -> None:
    report = read(root).data_report()
    assert report["train"]["official_images"] == 5
    assert report["train"]["official_frontal"] == 4
    assert report["train"]["official_patients"] == 3
    assert report["train"]["lateral_or_other_view"] == 1
    published = [report[name]["official_frontal_published"] for name in ("train", "val", "test")]
    assert published == [248_020, 2_041, 3_653]
    assert report["test"]["official_patients_published"] == 293
    assert report["train"]["reports_from_tree (all splits)"] == 4
    assert report["train"]["without_report (all splits)"] == 1


def test_every_patient_with_a_box_leaves_training_by_patient_not_by_image(root: Path) -> None:
    data = read(root)
    assert "10000003" not in data.splits["train"].patient_id
    assert data.splits["train"].counts["held_out_roi_images"] == 2
    assert data.splits["train"].counts["held_out_roi_patients"] == 1
    assert read(root, rois=RoiOptions(split="all")).splits["test"].sample_id.tolist() == ["d", "h", "f", "g"]


def test_a_box_in_a_lateral_image_holds_its_patient_out_too(root: Path) -> None:
    path = root / "MS_CXR_Local_Alignment_v1.0.0.csv"
    boxes = pd.read_csv(path)
    pd.concat([boxes, boxes.iloc[:1].assign(dicom_id="b")]).to_csv(path, index=False)
    assert read(root).splits["train"].sample_id.tolist() == ["c"]


def test_without_scoring_regions_the_training_split_is_the_same(root: Path) -> None:
    data = read(root, rois=RoiOptions(source="none"))
    assert data.splits["train"].sample_id.tolist() == ["a", "c"]
    assert not data.splits["test"].rois


def test_boxes_are_xywh_in_original_pixels_and_several_make_one_region(root: Path) -> None:
    test = read(root).splits["test"]
    (roi,) = test.rois[0]
    assert (roi.label, roi.frame) == (1, FRAME)
    assert roi.regions == (BoxRegion((0, 0, 50, 100)), BoxRegion((150, 0, 200, 100)))
    batch = next(iter(read(root).test_dataloader()))
    expected = np.zeros((20, 20), bool)
    expected[:, :5] = expected[:, 15:] = True
    np.testing.assert_array_equal(batch["roi_mask"][0].numpy(), expected)


@pytest.mark.parametrize(("as_json", "with_split"), [(False, False), (True, False), (False, True)])
def test_every_form_of_ms_cxr_gives_the_same_regions(root: Path, as_json: bool, with_split: bool) -> None:
    expected = read(root).splits["test"].rois
    trained = read(root).splits["train"].sample_id.tolist()
    (root / "MS_CXR_Local_Alignment_v1.0.0.csv").unlink()
    assert not read(root).splits["test"].rois
    write_ms_cxr(root / "ms-cxr", as_json, with_split)
    assert read(root).splits["test"].rois == expected
    # an image without a box holds nobody out
    assert read(root).splits["train"].sample_id.tolist() == trained
    assert read(root, rois=RoiOptions(root / "ms-cxr")).splits["test"].rois == expected


def test_a_resized_copy_is_refused_by_its_tables_and_by_its_files(root: Path) -> None:
    for row in ROWS:
        path = root / f"files/p10/p{row.subject}/s{row.study}/{row.image}.jpg"
        if row.image == "f":
            path.write_bytes((root / "files/p10/p10000006/s50000006/g.jpg").read_bytes())
    from PIL import Image

    Image.fromarray(np.zeros((64, 64), np.uint8)).save(root / "files/p10/p10000005/s50000005/f.jpg")
    with pytest.raises(OSError, match="squeezed copy"):
        next(iter(read(root).test_dataloader()))
    path = root / "mimic-cxr-2.0.0-metadata.csv.gz"
    pd.read_csv(path).assign(Rows=50, Columns=100).to_csv(path, index=False)
    with pytest.raises(ValueError, match="not a resized copy"):
        _ = read(root).splits


def test_a_copy_resized_with_its_aspect_ratio_keeps_the_regions(root: Path) -> None:
    from PIL import Image

    expected = next(iter(read(root).test_dataloader()))["roi_mask"]
    Image.fromarray(np.zeros((50, 100), np.uint8)).save(root / "files/p10/p10000005/s50000005/f.jpg")
    np.testing.assert_array_equal(next(iter(read(root).test_dataloader()))["roi_mask"], expected)


def test_tables_may_be_uncompressed_and_lie_elsewhere(root: Path, tmp_path: Path) -> None:
    for path in root.glob("*.csv.gz"):
        unpack(path)
    assert len(read(root).splits["train"]) == 2
    for path in root.glob("mimic-cxr-2*"):
        path.rename(tmp_path / path.name)
    assert len(read(root, tables_root=tmp_path).splits["train"]) == 2


def test_images_of_the_dicom_release_are_read_and_inverted(tmp_path: Path) -> None:
    write_tables(tmp_path / "jpg")
    write_images(tmp_path / "dicom", dicom=True)
    write_reports(tmp_path / "dicom")
    data = read(tmp_path / "dicom", tables_root=tmp_path / "jpg", image_format="dicom", mean=0.0, std=1.0)
    assert data.splits["train"].image[0].suffix == ".dcm"
    image = next(iter(data.val_dataloader()))["image"][0, 0]
    assert image[:, :10].max() == 0  # MONOCHROME1: large values are dark
    assert image[:, 10:].min() == 1


def test_reports_of_the_archive_are_read_in_place(root: Path, tmp_path: Path) -> None:
    expected = read(root).splits["train"].report
    write_archive(tmp_path / "reports")
    data = read(root, reports_root=tmp_path / "reports")
    assert data.splits["train"].report == expected
    assert data.splits["train"].counts["reports_from_archive (all splits)"] == 4


@pytest.mark.parametrize("archive", [False, True])
def test_studies_that_the_table_of_sections_lacks_come_from_the_reports(root: Path, archive: bool) -> None:
    text = "study,impression,findings,last_paragraph,comparison\ns50000002,Imp.,From the   table.,,\ns50000004,Imp.,,Last.,\n"
    (root / "mimic_cxr_sectioned.csv").write_text(text)
    if archive:
        write_archive(root)
    data = read(root)
    assert data.splits["train"].report == [
        "The heart is enlarged. There is no pneumothorax. The patient is rotated.",
        "From the table.",
    ]
    assert data.splits["val"].report == [""]  # the table has the study, and no findings of it
    assert read(root, text="impression").splits["val"].report == ["Imp."]
    counts = data.splits["train"].counts
    assert counts["reports_from_table (all splits)"] == 2
    assert counts[f"reports_from_{'archive' if archive else 'tree'} (all splits)"] == 3
    # the table has no indication: all come from the reports
    indication = read(root, text="indication").splits["train"]
    assert indication.report == ["___ year old man with cough // pneumonia?", ""]


@pytest.mark.parametrize("packed", ["table", "archive", "tree"])
def test_a_mirror_is_read_from_above(root: Path, tmp_path: Path, packed: str) -> None:
    expected = read(root).splits
    mirror = tmp_path / "physionet.org" / "files"
    (mirror / "mimic-cxr-jpg").mkdir(parents=True)
    reports = mirror / "mimic-cxr" / "2.0.0"
    if packed == "archive":
        write_archive(reports)
    elif packed == "tree":
        write_reports(reports)
    else:
        text = "study,impression,findings\ns50000001,,From the table.\n"
        reports.mkdir(parents=True)
        (reports / "mimic_cxr_sectioned.csv.gz").write_bytes(gzip.compress(text.encode()))
    root.rename(mirror / "mimic-cxr-jpg" / "2.1.0")
    for path in (mirror / "mimic-cxr-jpg").glob("2.1.0/files/p10/*/*.txt"):
        path.unlink()
    splits = read(tmp_path).splits
    assert {name: split.sample_id.tolist() for name, split in splits.items()} == {
        name: split.sample_id.tolist() for name, split in expected.items()
    }
    assert all(file.is_file() for split in splits.values() for file in split.image)
    assert splits["test"].rois == expected["test"].rois
    assert splits["train"].report == (["From the table.", ""] if packed == "table" else expected["train"].report)


def test_a_folder_without_any_report_is_refused(root: Path) -> None:
    for report in root.glob("files/p10/*/*.txt"):
        report.unlink()
    with pytest.raises(FileNotFoundError, match="none has text for the mode 'findings'"):
        _ = read(root).splits


def test_missing_tables_reports_and_unknown_findings_are_explained(root: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Did you mean 'Cardiomegaly'"):
        _ = read(root, label_names=("Cardiomegally",)).splits
    with pytest.raises(FileNotFoundError, match=r"not of MIMIC-CXR-JPG"):
        _ = read(root, reports_root=tmp_path / "nothing").splits
    (root / "mimic-cxr-2.0.0-chexpert.csv.gz").unlink()
    with pytest.raises(FileNotFoundError, match="chexpert"):
        _ = read(root).splits


@pytest.mark.parametrize("name", ["split", "metadata"])
def test_repeated_images_are_refused(root: Path, name: str) -> None:
    path = root / f"mimic-cxr-2.0.0-{name}.csv.gz"
    frame = pd.read_csv(path)
    pd.concat([frame, frame.iloc[:2]]).to_csv(path, index=False)
    with pytest.raises(ValueError, match="2 are repeated"):
        _ = read(root).splits


def test_an_unknown_split_is_refused(root: Path) -> None:
    path = root / "mimic-cxr-2.0.0-split.csv.gz"
    pd.read_csv(path).replace("validate", "valid").to_csv(path, index=False)
    with pytest.raises(ValueError, match=r"found \['valid'\]"):
        _ = read(root).splits
