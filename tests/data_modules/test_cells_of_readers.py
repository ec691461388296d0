"""Cells of published tables that readers once took for something else: a blank for an absence, a word for another finding."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pandas as pd
import pytest

from data_modules.base import PrivilegedDataModule
from data_modules.chest_sets import NIHChestXray14, PadChestGR, VinDrCXR
from data_modules.embed import EMBEDDataModule
from data_modules.evaluation import EvaluationDataModule, EvaluationReader
from data_modules.images.regions import Region
from data_modules.mammography_sets import INbreast, VinDrMammo
from data_modules.mimic_cxr import MIMICCXRDataModule
from data_modules.mimic_cxr.rois import RoiOptions, RoiSource
from data_modules.split import Split
from tests.data.chest_sets.data import write_nih, write_padchest_gr, write_vindr_cxr
from tests.data.mammography_sets.data import write_embed, write_inbreast, write_vindr_mammo
from tests.data.mimic_cxr.data import write_imagenome, write_mimic, write_reflacx

Read = Callable[[Path], PrivilegedDataModule]
LABELS = ("Malignant", "Edema", "Lung Lesion", "Pleural Effusion")


def evaluation(reader: Callable[[Path], EvaluationReader]) -> Read:
    return lambda root: EvaluationDataModule(reader(root), LABELS, image_size=20)


def write_regions(root: Path) -> None:
    write_mimic(root)
    write_imagenome(root)
    write_reflacx(root)


def mimic(root: Path, source: RoiSource = "ms_cxr") -> PrivilegedDataModule:
    return MIMICCXRDataModule(root, label_names=("Cardiomegaly", "Edema"), rois=RoiOptions(source=source))


def embed(root: Path) -> PrivilegedDataModule:
    return EMBEDDataModule(root, roi_frame="png", val_fraction=0.1, test_fraction=0.7)


SETS: dict[str, tuple[Callable[[Path], object], Read]] = {
    "mimic": (write_regions, mimic),
    "reflacx": (write_regions, partial(mimic, source="reflacx")),
    "embed": (partial(write_embed, num_patients=8), embed),
    "nih": (write_nih, evaluation(NIHChestXray14)),
    "padchest": (write_padchest_gr, evaluation(PadChestGR)),
    "vindr": (write_vindr_cxr, evaluation(VinDrCXR)),
    "mammo": (write_vindr_mammo, evaluation(VinDrMammo)),
    "inbreast": (write_inbreast, evaluation(INbreast)),
}
MS_CXR = "MS_CXR_Local_Alignment_v1.0.0.csv"
ELLIPSES = "main_data/P1R1/anomaly_location_ellipses.csv"
GOLD = "gold_dataset/gold_bbox_coordinate_annotations_1000images.csv"
CLINICAL = "tables/EMBED_OpenData_clinical.csv"
METADATA = "tables/EMBED_OpenData_metadata.csv"
RELATIONS = "gold_dataset/gold_attributes_relations_500pts_500studies1st.txt"
FINDINGS = "finding_annotations.csv"
PADCHEST = "master_table.csv.zip"
# data set, table, column, row below the header, its new cell, and what the message names
CASES = [
    ("mimic", MS_CXR, "x", 1, "", "'x' of MS-CXR but 1 cell is blank .row 3."),
    ("mimic", MS_CXR, "h", 0, "tall", "'h' of MS-CXR but got 'tall' .row 2.. Correct the table"),
    ("mimic", MS_CXR, "category_name", 1, "", "'category_name' of MS-CXR but 1 cell is blank .row 3."),
    ("mimic", ELLIPSES, "certainty", 0, "", "'certainty' of .*P1R1.* is blank .row 2."),
    ("mimic", ELLIPSES, "xmin", 1, "", "'xmin' of .*P1R1.* is blank .row 3."),
    ("mimic", GOLD, "original_y2", 2, "", "'original_y2' of 'gold_.* is blank .row 4."),
    ("mimic", ELLIPSES, "Pulmonary edema", 0, "x", "'Pulmonary edema' of .*P1R1.* hold 0 or 1 .*'x'.* .row 2."),
    ("mimic", ELLIPSES, "Nodule", 1, "", "'Nodule' of .*P1R1.* is blank .row 3."),
    ("mimic", RELATIONS, "relation", 1, "yes", "'relation' of 'gold_.* hold 0 or 1 .*'yes'.* .row 3."),
    ("mimic", RELATIONS, "relation", 2, "", "'relation' of 'gold_.* is blank .row 4."),
    ("embed", CLINICAL, "path_severity", 0, "zero", "'path_severity' .*got 'zero' .row 2."),
    ("embed", CLINICAL, "tissueden", 1, "dense", "'tissueden' .*got 'dense' .row 3."),
    ("embed", CLINICAL, "side", 1, "LEFT", "sides in column 'side' of .*got .'LEFT'"),
    ("embed", CLINICAL, "bside", 1, "RIGHT", "sides in column 'bside' of .*got .'RIGHT'"),
    ("embed", METADATA, "spot_mag", 2, "spot", "'spot_mag' .*got 'spot' .row 4."),
    ("embed", METADATA, "anon_dicom_path", 2, "", "'anon_dicom_path' .* is blank .row 4."),
    ("nih", "Data_Entry_2017_v2020.csv", "Finding Labels", 3, "", "'Finding Labels' .* is blank .row 5."),
    ("nih", "BBox_List_2017.csv", "y", 0, "", "'y' of 'BBox_List_2017.csv' .* is blank .row 2."),
    ("nih", "BBox_List_2017.csv", "Finding Label", 1, "", "'Finding Label' of .* is blank .row 3."),
    ("padchest", PADCHEST, "split", 1, "tset", "splits of 'master_table.*Did you mean 'test'"),
    ("padchest", PADCHEST, "split", 1, "", "'split' of 'master_table.* is blank .row 3."),
    ("vindr", "image_labels_test.csv", "Nodule/Mass", 0, "", "'Nodule/Mass' .* is blank .row 2."),
    ("vindr", "image_labels_test.csv", "Nodule/Mass", 1, "yes", "'Nodule/Mass' .*'yes'.* .row 3."),
    ("vindr", "image_labels_test.csv", "Nodule/Mass", 1, "2", "'Nodule/Mass' .*'2'.* .row 3."),
    ("vindr", "annotations_test.csv", "x_min", 1, "1,5", "'x_min' of .*'1,5' .row 3.. Write decimals with a point"),
    ("vindr", "annotations_test.csv", "x_max", 0, "", "'x_max' of .* is blank .row 2."),
    ("vindr", "annotations_test.csv", "class_name", 1, "", "'class_name' of .* is blank .row 3."),
    ("mammo", FINDINGS, "finding_categories", 0, "", "'finding_categories' .* is blank .row 2."),
    ("mammo", FINDINGS, "finding_categories", 0, "Mass", "lists such as .* but got 'Mass' .row 2."),
    ("mammo", FINDINGS, "finding_categories", 2, "'Mass'", "lists such as .* but got ''Mass'' .row 4."),
    ("mammo", FINDINGS, "xmax", 0, "", "'xmax' of .* is blank .row 2."),
    ("mammo", FINDINGS, "ymin", 2, "x", "'ymin' of .*'x' .row 4."),
    ("mammo", FINDINGS, "split", 0, "tset", "splits of 'finding_.*Did you mean 'test'"),
    ("mammo", FINDINGS, "split", 0, "", "'split' of 'finding_.* is blank .row 2."),
    ("inbreast", "INbreast.csv", "File Name ", 1, "", "'File Name' of .* is blank .row 3."),
]


@pytest.mark.parametrize(("name", "file", "column", "row", "cell", "message"), CASES)
def test_a_cell_without_its_meaning_is_refused_with_its_place(
    tmp_path: Path, name: str, file: str, column: str, row: int, cell: str, message: str
) -> None:
    write, read = SETS[name]
    write(tmp_path)
    change(tmp_path / file, column, row, cell)
    with pytest.raises(ValueError, match=f"Expected .*{message}"):
        _ = read(tmp_path).splits


def change(path: Path, column: str, row: int, cell: str) -> None:
    separator = {".txt": "\t", ".csv": ";" if path.stem == "INbreast" else ","}.get(path.suffix, ",")
    table = pd.read_csv(path, sep=separator, dtype=str, keep_default_na=False, index_col=False)
    table.loc[row, column] = cell
    table.to_csv(path, sep=separator, index=False)


# data set, file, a name in it, the same in another spelling, and the count of the test split that tells
SPELT = [
    ("mimic", MS_CXR, "Edema", "edema", "roi_boxes_of_unknown_findings (all splits)"),
    ("reflacx", ELLIPSES, "Pulmonary edema", "Pulmonary Edema", "roi_ellipses_of_unknown_findings (all splits)"),
    ("vindr", "annotations_test.csv", "Nodule/Mass", "Nodule", "unknown_names"),
    ("vindr", "annotations_test.csv", "No finding", "Nothing", "unknown_names"),
    ("mammo", FINDINGS, "Skin Thickening", "Thick Skin", "unknown_names"),
]


@pytest.mark.parametrize(("name", "file", "known", "other", "count"), SPELT)
def test_names_of_regions_that_are_not_published_are_counted(
    tmp_path: Path, name: str, file: str, known: str, other: str, count: str
) -> None:
    write, read = SETS[name]
    write(tmp_path)
    before = read(tmp_path).read_splits()["test"].counts.get(count, 0)
    path = tmp_path / file
    path.write_text(path.read_text().replace(known, other))
    assert read(tmp_path).read_splits()["test"].counts[count] > before


def test_rows_without_a_file_name_and_reports_without_a_row_are_counted(tmp_path: Path) -> None:
    write_inbreast(tmp_path / "inbreast")
    table = tmp_path / "inbreast/INbreast.csv"
    table.write_text(table.read_text() + ";;L;CC;;;2;;;;\n;;;;;;;;;;\n")
    write_padchest_gr(tmp_path / "padchest")
    change(tmp_path / "padchest" / PADCHEST, "ImageID", 2, "other.png")
    inbreast = evaluation(INbreast)(tmp_path / "inbreast").splits["test"].counts
    padchest = evaluation(PadChestGR)(tmp_path / "padchest").splits["test"].counts
    assert inbreast["rows_without_file_name"] == 1
    assert (padchest["reports_without_a_row"], padchest["images_without_a_report"]) == (1, 1)


def test_a_report_of_another_split_has_a_row(tmp_path: Path) -> None:
    write_padchest_gr(tmp_path)
    test = EvaluationDataModule(PadChestGR(tmp_path, split="train"), LABELS, image_size=20).splits["test"]
    assert (len(test), test.counts["reports_without_a_row"]) == (1, 0)


@pytest.mark.parametrize(
    ("name", "files", "old", "new"),
    [
        ("vindr", ("image_labels_test.csv", "annotations_test.csv"), "t1,", "007,"),
        ("mammo", (FINDINGS,), "s1,x,a", "s1,x,007"),
    ],
)
def test_names_of_digits_keep_their_zeros(
    tmp_path: Path, name: str, files: tuple[str, ...], old: str, new: str
) -> None:
    write, read = SETS[name]
    write(tmp_path)
    for file in files:
        table = (tmp_path / file).read_text().replace(old, new)
        # no other image, so that all names are of digits
        kept = [line for line in table.splitlines() if "007" in line or "image_id" in line]
        (tmp_path / file).write_text("\n".join(kept) + "\n")
    for image in [path for pattern in ("t1.*", "a.dicom") for path in tmp_path.rglob(pattern)]:
        image.rename(image.with_stem("007"))
    test = read(tmp_path).splits["test"]
    assert test.sample_id.tolist() == ["007"]
    assert test.rois


def test_boxes_of_images_without_labels_and_the_order_of_rows_change_no_region(tmp_path: Path) -> None:
    for name, file in {"vindr": "annotations_test.csv", "mammo": FINDINGS}.items():
        write, read = SETS[name]
        write(tmp_path / name)
        expected = read(tmp_path / name).read_splits()["test"]
        header, *rows = (tmp_path / name / file).read_text().splitlines()
        other = ["t9,R1,Nodule/Mass,10,20,30,40"] if name == "vindr" else []
        (tmp_path / name / file).write_text("\n".join([header, *other, *reversed(rows)]) + "\n")
        found = read(tmp_path / name).read_splits()["test"]
        assert regions_of(found) == regions_of(expected) != {}


def regions_of(split: Split) -> dict[str, set[tuple[int, frozenset[Region]]]]:
    return {
        str(split.sample_id[row]): {(roi.label, frozenset(roi.regions)) for roi in rois}
        for row, rois in split.rois.items()
    }


def test_a_column_of_reflacx_that_states_no_label_may_hold_words(tmp_path: Path) -> None:
    write_regions(tmp_path)
    expected = mimic(tmp_path, "reflacx").read_splits()["test"]
    table = pd.read_csv(tmp_path / ELLIPSES)
    table.assign(Other=["clips", ""], comment="1 of 2").to_csv(tmp_path / ELLIPSES, index=False)
    found = mimic(tmp_path, "reflacx").read_splits()["test"]
    assert (found.rois, found.counts) == (expected.rois, expected.counts)


def test_spaces_around_the_name_of_an_image_are_none_of_it(tmp_path: Path) -> None:
    write_regions(tmp_path)
    expected = mimic(tmp_path).read_splits()["test"].rois
    path = tmp_path / MS_CXR
    path.write_text(path.read_text().replace("\nf,", "\nf ,"))
    assert expected
    assert mimic(tmp_path).read_splits()["test"].rois == expected
