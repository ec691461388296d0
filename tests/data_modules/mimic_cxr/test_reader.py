import gzip
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from data_modules.mimic_cxr import MIMICCXRDataModule
from data_modules.mimic_cxr.labels import apply_policy
from data_modules.mimic_cxr.reports import parse_sections, select_text
from data_modules.mimic_cxr.views import frontal_view
from data_modules.regions import BoxRegion

REPORT = """                                 FINAL REPORT
 EXAMINATION:  CHEST (PA AND LAT)

 INDICATION:  ___ year old man with cough  // pneumonia?

 FINDINGS:

 The heart is enlarged.  There is no
 pneumothorax.

 IMPRESSION:

 1. Cardiomegaly.
"""
FINDINGS = ("Cardiomegaly", "Edema")
# subject, study, image, split, view, Cardiomegaly, Edema
ROWS = [
    (10000001, 50000001, "a", "train", "PA", 1.0, -1.0),
    (10000001, 50000001, "b", "train", "LATERAL", 1.0, -1.0),
    (10000002, 50000002, "c", "train", "AP", np.nan, 0.0),
    (10000003, 50000003, "d", "train", "AP", 0.0, 1.0),
    (10000004, 50000004, "e", "validate", "AP", 1.0, 0.0),
    (10000005, 50000005, "f", "test", "AP", 0.0, 1.0),
    (10000006, 50000006, "g", "test", None, 1.0, 1.0),
]
# the boxed patient 10000003 has a box in one image; another image of the patient must leave training, too
BOXES = [
    ("d", "Edema", 10, 20, 30, 40),
    ("f", "Edema", 0, 0, 50, 100),
    ("f", "Edema", 150, 0, 50, 100),
    ("f", "Unknown", 0, 0, 1, 1),
]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    rows = [*ROWS, (10000003, 50000007, "h", "train", "PA", 0.0, 0.0)]
    columns = ["subject_id", "study_id", "dicom_id", "split", "ViewPosition", *FINDINGS]
    frame = pd.DataFrame(rows, columns=columns)
    frame[["dicom_id", "study_id", "subject_id", "split"]].to_csv(
        tmp_path / "mimic-cxr-2.0.0-split.csv.gz", index=False
    )
    metadata = frame[["dicom_id", "subject_id", "study_id", "ViewPosition"]].assign(Rows=100, Columns=200)
    metadata["ViewCodeSequence_CodeMeaning"] = np.where(frame["dicom_id"] == "g", "antero-posterior", "")
    metadata.to_csv(tmp_path / "mimic-cxr-2.0.0-metadata.csv.gz", index=False)
    labels = frame[["subject_id", "study_id", *FINDINGS]].drop_duplicates("study_id")
    labels.to_csv(tmp_path / "mimic-cxr-2.0.0-chexpert.csv.gz", index=False)
    manual = pd.DataFrame({"study_id": [50000005], "Cardiomegaly": [1.0], "Edema": [0.0]})
    manual.to_csv(tmp_path / "mimic-cxr-2.1.0-test-set-labeled.csv", index=False)
    boxes = pd.DataFrame(BOXES, columns=["dicom_id", "category_name", "x", "y", "w", "h"])
    boxes.assign(label_text="text", path="files/", image_width=200, image_height=100, split="val").to_csv(
        tmp_path / "MS_CXR_Local_Alignment_v1.0.0.csv", index=False
    )
    for row in frame.itertuples():
        folder = tmp_path / f"files/p10/p{row.subject_id}/s{row.study_id}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((100, 200), np.uint8)).save(folder / f"{row.dicom_id}.jpg")
        if row.dicom_id != "c":
            folder.with_suffix(".txt").write_text(REPORT)
    return tmp_path


def read(root: Path, **arguments: object) -> MIMICCXRDataModule:
    return MIMICCXRDataModule(root, label_names=FINDINGS, image_size=20, resize="stretch", **arguments)  # type: ignore[arg-type]


def test_official_splits_frontal_views_and_reports(root: Path) -> None:
    splits = read(root).splits
    assert {name: split.sample_id.tolist() for name, split in splits.items()} == {
        "train": ["a", "c"],
        "val": ["e"],
        "test": ["f", "g"],
    }
    train = splits["train"]
    assert train.report == ["The heart is enlarged. There is no pneumothorax.", ""]
    assert train.has_privileged.tolist() == [True, False]
    assert train.counts["unknown_or_lateral_views"] == 1


def test_every_patient_with_a_box_leaves_training_by_patient_not_by_image(root: Path) -> None:
    data = read(root)
    assert "10000003" not in data.splits["train"].patient_id
    assert data.splits["train"].counts["held_out_roi_images"] == 2
    assert read(root, roi_split="all").splits["test"].sample_id.tolist() == ["d", "f", "g", "h"]


def test_a_box_in_a_lateral_image_holds_its_patient_out_too(root: Path) -> None:
    path = root / "MS_CXR_Local_Alignment_v1.0.0.csv"
    boxes = pd.read_csv(path)
    pd.concat([boxes, boxes.iloc[:1].assign(dicom_id="b")]).to_csv(path, index=False)
    assert read(root).splits["train"].sample_id.tolist() == ["c"]


def test_a_folder_without_any_report_is_refused(root: Path) -> None:
    for report in root.glob("files/p10/*/*.txt"):
        report.unlink()
    with pytest.raises(FileNotFoundError, match="none has a section 'findings'"):
        _ = read(root).splits


def test_boxes_are_xywh_in_original_pixels_and_several_make_one_region(root: Path) -> None:
    test = read(root).splits["test"]
    (roi,) = test.rois[0]
    assert roi.label == 1
    assert roi.regions == (BoxRegion((0, 0, 50, 100)), BoxRegion((150, 0, 200, 100)))
    batch = next(iter(read(root).test_dataloader()))
    expected = np.zeros((20, 20), bool)
    expected[:, :5] = expected[:, 15:] = True
    np.testing.assert_array_equal(batch["roi_mask"][0].numpy(), expected)


def test_labels_of_a_study_follow_the_policies(root: Path) -> None:
    train = read(root, uncertainty="ones", blank="ignore").splits["train"].label
    np.testing.assert_array_equal(train, [[1, 1], [np.nan, 0]])
    assert np.isnan(read(root).splits["train"].label[0, 1])
    assert read(root).splits["train"].label[1, 0] == 0


@pytest.mark.parametrize("uncertainty", ["ones", "zeros", "ignore"])
@pytest.mark.parametrize("blank", ["zeros", "ignore"])
def test_uncertain_and_blank_are_replaced_apart(uncertainty: str, blank: str) -> None:
    result = apply_policy(np.array([1, 0, -1, np.nan], np.float32), uncertainty, blank)  # type: ignore[arg-type]
    expected = {"ones": 1.0, "zeros": 0.0, "ignore": np.nan}
    np.testing.assert_array_equal(result, [1, 0, expected[uncertainty], expected[blank]])


def test_test_labels_of_the_radiologist_replace_the_automatic_ones(root: Path) -> None:
    assert read(root).splits["test"].label[0].tolist() == [0, 1]
    manual = read(root, test_labels="radiologist").splits["test"].label
    assert manual[0].tolist() == [1, 0]
    assert np.isnan(manual[1]).all()  # a study that was not read by hand has no label


def test_tables_may_be_uncompressed(root: Path) -> None:
    path = root / "mimic-cxr-2.0.0-split.csv.gz"
    with gzip.open(path) as packed, (root / "mimic-cxr-2.0.0-split.csv").open("wb") as plain:
        shutil.copyfileobj(packed, plain)
    path.unlink()
    assert len(read(root).splits["train"]) == 2


def test_reports_may_come_from_the_sectioned_file_and_missing_studies_from_the_tree(root: Path) -> None:
    text = "study,impression,findings,last_paragraph,comparison\ns50000002,Imp.,From the file.,,\n"
    (root / "mimic_cxr_sectioned.csv").write_text(text)
    report = read(root).splits["train"].report
    assert report == ["The heart is enlarged. There is no pneumothorax.", "From the file."]


def test_resized_images_would_misplace_boxes_and_are_refused(root: Path) -> None:
    path = root / "mimic-cxr-2.0.0-metadata.csv.gz"
    pd.read_csv(path).assign(Rows=50, Columns=100).to_csv(path, index=False)
    with pytest.raises(ValueError, match="not a resized copy"):
        _ = read(root).splits


def test_missing_tables_reports_and_unknown_findings_are_explained(root: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Did you mean 'Cardiomegaly'"):
        _ = MIMICCXRDataModule(root, label_names=("Cardiomegally",)).splits
    with pytest.raises(FileNotFoundError, match="not of MIMIC-CXR-JPG"):
        _ = read(root, reports_root=tmp_path / "files").splits
    (root / "mimic-cxr-2.0.0-chexpert.csv.gz").unlink()
    with pytest.raises(FileNotFoundError, match="chexpert"):
        _ = read(root).splits


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("findings", "The heart is enlarged. There is no pneumothorax."),
        ("impression", "1. Cardiomegaly."),
        ("full", "The heart is enlarged. There is no pneumothorax. 1. Cardiomegaly."),
        ("indication", "___ year old man with cough // pneumonia?"),
    ],
)
def test_text_modes(mode: str, expected: str) -> None:
    assert select_text(parse_sections(REPORT), mode) == expected  # type: ignore[arg-type]


def test_odd_reports() -> None:
    addendum = " FINDINGS: Old.\n ______________________________________\n ADDENDUM  New: later.\n IMPRESSION: Done.\n"
    assert parse_sections(addendum)["findings"] == "Old."
    assert parse_sections(addendum)["impression"] == "Done."
    assert select_text(parse_sections(" IMPRESSION: Only this."), "findings") == ""
    assert parse_sections("no heading at all") == {}
    assert parse_sections(" CONCLUSION: Fine.")["impression"] == "Fine."
    joint = parse_sections(" FINDINGS AND IMPRESSION: The impression is in here.")
    assert select_text(joint, "findings") == ""  # it would leak what the labels are computed from
    parts = parse_sections(" FINDINGS:\n LUNGS: Clear.\n HEART: Large.\n IMPRESSION: Done.")
    assert parts["findings"] == "LUNGS: Clear. HEART: Large."


def test_views_are_resolved_from_codes_only_where_they_are_missing() -> None:
    frame = pd.DataFrame(
        {
            "ViewPosition": ["PA", "LATERAL", None, None, None, None],
            "ViewCodeSequence_CodeMeaning": ["lateral", "", "postero-anterior", "Lateral", "", ""],
            "PerformedProcedureStepDescription": ["", "", "", "", "CHEST (PORTABLE AP)", "CHEST (PA AND LAT)"],
        }
    )
    assert frontal_view(frame).tolist() == ["PA", "", "PA", "", "AP", ""]


def test_the_reader_is_fast_enough_for_the_whole_data_set() -> None:
    frame = pd.DataFrame({"ViewPosition": ["AP", "PA", "LATERAL", "LL"] * 50_000})
    assert (frontal_view(frame) != "").sum() == 100_000
