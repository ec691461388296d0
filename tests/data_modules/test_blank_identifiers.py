"""No reader takes a blank cell for the name of a sample or a patient: it cut all names of a split to their first letter."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pandas as pd
import pytest

from data_modules.base import PrivilegedDataModule
from data_modules.chest_sets import CheXlocalize, NIHChestXray14, PadChestGR, VinDrCXR
from data_modules.embed import EMBEDDataModule
from data_modules.evaluation import EvaluationDataModule
from data_modules.mammography_sets import VinDrMammo
from data_modules.mimic_cxr import MIMICCXRDataModule
from tests.data.chest_sets.data import write_chexlocalize, write_nih, write_padchest_gr, write_vindr_cxr
from tests.data.mammography_sets.data import write_embed, write_vindr_mammo
from tests.data.mimic_cxr.data import write_imagenome, write_mimic, write_reflacx

FINDINGS = ("Cardiomegaly", "Edema")


def mimic(root: Path) -> PrivilegedDataModule:
    return MIMICCXRDataModule(root, label_names=FINDINGS)


def write_mimic_with_regions(root: Path) -> None:
    write_mimic(root)
    write_imagenome(root)
    write_reflacx(root)


def chest(
    reader: type[NIHChestXray14 | PadChestGR | CheXlocalize | VinDrCXR],
) -> Callable[[Path], PrivilegedDataModule]:
    return lambda root: EvaluationDataModule(reader(root), (*FINDINGS, "Lung Lesion"))


def vindr_mammo(root: Path) -> PrivilegedDataModule:
    return EvaluationDataModule(VinDrMammo(root), ("Malignant",))


SPLIT = "mimic-cxr-2.0.0-split.csv.gz"
GOLD = "gold_dataset/gold_bbox_coordinate_annotations_1000images.csv"
# table, column, row below the header that becomes blank, and the place that is named
CASES: list[tuple[Callable[[Path], object], Callable[[Path], PrivilegedDataModule], str, str, int, str]] = [
    (write_mimic, mimic, SPLIT, "dicom_id", 1, "row 3"),
    (write_mimic, mimic, SPLIT, "subject_id", 1, "NA values"),
    (write_mimic, mimic, "MS_CXR_Local_Alignment_v1.0.0.csv", "dicom_id", 1, "row 3"),
    (write_mimic_with_regions, mimic, GOLD, "image_id", 1, "row 3"),
    (write_mimic_with_regions, mimic, "main_data/metadata_phase_1.csv", "image", 1, "row 3"),
    (write_embed, EMBEDDataModule, "tables/EMBED_OpenData_metadata.csv", "empi_anon", 1, "row 3"),
    (write_nih, chest(NIHChestXray14), "BBox_List_2017.csv", "Image Index", 1, "row 3"),
    (write_nih, chest(NIHChestXray14), "Data_Entry_2017_v2020.csv", "Patient ID", 1, "row 3"),
    (write_padchest_gr, chest(PadChestGR), "master_table.csv.zip", "PatientID", 2, "row 4"),
    (write_padchest_gr, chest(PadChestGR), "master_table.csv.zip", "ImageID", 2, "row 4"),
    (partial(write_chexlocalize, split="test"), chest(CheXlocalize), "CheXpert/test_labels.csv", "Path", 1, "row 3"),
    (write_vindr_cxr, chest(VinDrCXR), "image_labels_test.csv", "image_id", 1, "row 3"),
    (write_vindr_cxr, chest(VinDrCXR), "annotations_test.csv", "image_id", 1, "row 3"),
    (write_vindr_mammo, vindr_mammo, "finding_annotations.csv", "study_id", 3, "row 5"),
]


@pytest.mark.parametrize(("write", "read", "file", "name", "row", "place"), CASES)
def test_a_blank_identifier_is_refused_with_its_place(
    tmp_path: Path,
    write: Callable[[Path], object],
    read: Callable[[Path], PrivilegedDataModule],
    file: str,
    name: str,
    row: int,
    place: str,
) -> None:
    write(tmp_path)
    frame = pd.read_csv(tmp_path / file, dtype=str, keep_default_na=False)
    frame.loc[row, name] = ""
    frame.to_csv(tmp_path / file, index=False)
    with pytest.raises(ValueError, match=f"Expected .*{place}"):
        _ = read(tmp_path).splits
