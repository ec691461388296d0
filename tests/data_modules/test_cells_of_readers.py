"""Cells of published tables that readers once took for something else: a blank for an absence, a word for another finding."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pandas as pd
import pytest

from data_modules.base import PrivilegedDataModule
from data_modules.chest_sets import NIHChestXray14, VinDrCXR
from data_modules.embed import EMBEDDataModule
from data_modules.evaluation import EvaluationDataModule, EvaluationReader
from data_modules.mammography_sets import INbreast, VinDrMammo
from data_modules.mimic_cxr import MIMICCXRDataModule
from data_modules.mimic_cxr.rois import RoiOptions, RoiSource
from tests.data.chest_sets.data import write_nih, write_vindr_cxr
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
    "vindr": (write_vindr_cxr, evaluation(VinDrCXR)),
    "mammo": (write_vindr_mammo, evaluation(VinDrMammo)),
    "inbreast": (write_inbreast, evaluation(INbreast)),
}
MS_CXR = "MS_CXR_Local_Alignment_v1.0.0.csv"
ELLIPSES = "main_data/P1R1/anomaly_location_ellipses.csv"
GOLD = "gold_dataset/gold_bbox_coordinate_annotations_1000images.csv"
CLINICAL = "tables/EMBED_OpenData_clinical.csv"
METADATA = "tables/EMBED_OpenData_metadata.csv"
FINDINGS = "finding_annotations.csv"
# data set, table, column, row below the header, its new cell, and what the message names
CASES = [
    ("mimic", MS_CXR, "x", 1, "", "'x' of MS-CXR but 1 cell is blank .row 3."),
    ("mimic", MS_CXR, "h", 0, "tall", "'h' of MS-CXR but got 'tall' .row 2."),
    ("mimic", MS_CXR, "category_name", 1, "", "'category_name' of MS-CXR but 1 cell is blank .row 3."),
    ("mimic", ELLIPSES, "certainty", 0, "", "'certainty' of .*P1R1.* is blank .row 2."),
    ("mimic", ELLIPSES, "xmin", 1, "", "'xmin' of .*P1R1.* is blank .row 3."),
    ("mimic", GOLD, "original_y2", 2, "", "'original_y2' of 'gold_.* is blank .row 4."),
    ("embed", CLINICAL, "path_severity", 0, "zero", "'path_severity' .*got 'zero' .row 2."),
    ("embed", CLINICAL, "tissueden", 1, "dense", "'tissueden' .*got 'dense' .row 3."),
    ("embed", METADATA, "spot_mag", 2, "spot", "'spot_mag' .*got 'spot' .row 4."),
    ("embed", METADATA, "anon_dicom_path", 2, "", "'anon_dicom_path' .* is blank .row 4."),
    ("nih", "Data_Entry_2017_v2020.csv", "Finding Labels", 0, "", "'Finding Labels' .* is blank .row 2."),
    ("nih", "BBox_List_2017.csv", "y", 0, "", "'y' of 'BBox_List_2017.csv' .* is blank .row 2."),
    ("vindr", "image_labels_test.csv", "Nodule/Mass", 0, "", "'Nodule/Mass' .* is blank .row 2."),
    ("vindr", "image_labels_test.csv", "Nodule/Mass", 1, "yes", "'Nodule/Mass' .*'yes'.* .row 3."),
    ("vindr", "image_labels_test.csv", "Nodule/Mass", 1, "2", "'Nodule/Mass' .*'2'.* .row 3."),
    ("vindr", "annotations_test.csv", "x_max", 0, "", "'x_max' of .* is blank .row 2."),
    ("vindr", "annotations_test.csv", "class_name", 1, "", "'class_name' of .* is blank .row 3."),
    ("mammo", FINDINGS, "finding_categories", 0, "", "'finding_categories' .* is blank .row 2."),
    ("mammo", FINDINGS, "finding_categories", 0, "Mass", "lists such as .* but got 'Mass'"),
    ("mammo", FINDINGS, "xmax", 0, "", "'xmax' of .* is blank .row 2."),
    ("inbreast", "INbreast.csv", "File Name ", 1, "", "'File Name' of .* is blank .row 3."),
]


@pytest.mark.parametrize(("name", "file", "column", "row", "cell", "message"), CASES)
def test_a_cell_without_its_meaning_is_refused_with_its_place(
    tmp_path: Path, name: str, file: str, column: str, row: int, cell: str, message: str
) -> None:
    write, read = SETS[name]
    write(tmp_path)
    separator = ";" if name == "inbreast" else ","
    table = pd.read_csv(tmp_path / file, sep=separator, dtype=str, keep_default_na=False, index_col=False)
    table.loc[row, column] = cell
    table.to_csv(tmp_path / file, sep=separator, index=False)
    with pytest.raises(ValueError, match=f"Expected .*{message}"):
        _ = read(tmp_path).splits


# data set, file, a name in it, the same in another spelling, and the count of the test split that tells
SPELT = [
    ("mimic", MS_CXR, "Edema", "edema", "roi_boxes_of_unknown_findings (all splits)"),
    ("reflacx", ELLIPSES, "Pulmonary edema", "Pulmonary Edema", "roi_ellipses_of_unknown_findings (all splits)"),
    ("vindr", "annotations_test.csv", "Nodule/Mass", "Nodule", "unknown_names"),
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
