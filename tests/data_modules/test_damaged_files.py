"""A file of a published data set that is damaged, or laid out otherwise, is named in one line."""

import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest

from data_modules.base import PrivilegedDataModule
from data_modules.chest_sets import CheXlocalize, PadChestGR
from data_modules.evaluation import EvaluationDataModule
from data_modules.files.layout import as_published
from data_modules.mimic_cxr import MIMICCXRDataModule
from data_modules.mimic_cxr.rois import RoiOptions
from data_modules.open_i import OpenIDataModule
from tests.data.chest_sets.data import write_chexlocalize, write_padchest_gr
from tests.data.mimic_cxr.data import write_archive, write_imagenome, write_mimic, write_ms_cxr
from tests.data.open_i.data import write_open_i

LABELS = ("Edema", "Pleural Effusion")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (KeyError("boxes"), "it has no 'boxes'"),
        (IndexError("out of range"), "out of range"),
        (TypeError("no list"), "no list"),
        (ValueError("no number"), "no number"),
        (AttributeError("no text"), "no text"),
        (EOFError("too short"), "too short"),
        (zlib.error("odd bits"), "odd bits"),
        (zipfile.BadZipFile("no archive"), "no archive"),
        (tarfile.ReadError("no tar"), "no tar"),
        (ElementTree.ParseError("no XML"), "no XML"),
    ],
)
def test_what_fails_inside_is_told_with_the_file(error: Exception, reason: str) -> None:
    message = rf"content of 'a/b\.json' as it was published but .*{reason}\. Restore"
    with pytest.raises(ValueError, match=message) as found, as_published(Path("a/b.json")):
        raise error
    assert found.value.__cause__ is error


def test_a_file_that_is_not_there_is_no_damaged_one() -> None:
    with pytest.raises(FileNotFoundError, match=r"^gone$"), as_published(Path("a")):
        raise FileNotFoundError("gone")


def write_graphs(root: Path) -> None:
    write_mimic(root)
    write_imagenome(root)


def write_coco(root: Path) -> None:
    write_mimic(root)
    write_ms_cxr(root, as_json=True)


def write_packed_reports(root: Path) -> None:
    write_mimic(root)
    for path in root.rglob("s*.txt"):
        path.unlink()
    write_archive(root)


def write_test_set(root: Path) -> None:
    write_chexlocalize(root, "test")


def silver(root: Path) -> PrivilegedDataModule:
    return MIMICCXRDataModule(root, label_names=LABELS, rois=RoiOptions(source="imagenome_silver"))


def mimic(root: Path) -> PrivilegedDataModule:
    return MIMICCXRDataModule(root, label_names=LABELS)


def chexlocalize(root: Path) -> PrivilegedDataModule:
    return EvaluationDataModule(CheXlocalize(root), LABELS, image_size=20)


def padchest(root: Path) -> PrivilegedDataModule:
    return EvaluationDataModule(PadChestGR(root), LABELS, image_size=20)


GRAPHS = "silver_dataset/scene_graph.zip"
COCO = "MS_CXR_Local_Alignment_v1.1.0.json"
CONTOURS = "CheXlocalize/gt_annotations_test.json"
REPORTS = "grounded_reports_20240819.json"
# writer, reader, file, and what of its bytes is replaced by what
CASES: list[tuple[Callable[[Path], object], Callable[[Path], PrivilegedDataModule], str, bytes, bytes]] = [
    (write_graphs, silver, GRAPHS, b"PK", b"XX"),
    (write_graphs, silver, GRAPHS, b'"attributes"', b'"attribute_"'),
    (write_coco, mimic, COCO, b'"image_id": 1', b'"image_id": 9'),
    (write_coco, mimic, COCO, b'"bbox"', b'"box"'),
    (write_packed_reports, mimic, "mimic-cxr-reports.zip", b"PK", b"XX"),
    (write_test_set, chexlocalize, CONTOURS, b"[16, 8]", b"[16, 8, 4]"),
    (write_test_set, chexlocalize, CONTOURS, b'"img_size": [40, 80]', b'"img_size": ["a", 80]'),
    (write_padchest_gr, padchest, REPORTS, b'"ImageID"', b'"Image"'),
    (write_padchest_gr, padchest, REPORTS, b'"findings"', b'"found"'),
    (write_padchest_gr, padchest, REPORTS, b"[[0.0, 0.5, 0.5, 1.0]]", b"[[0.0, 0.5, null, 1.0]]"),
    (write_open_i, OpenIDataModule, "NLMCXR_reports.tgz", b"\x1f\x8b", b"XX"),
]


@pytest.mark.parametrize(("write", "read", "file", "old", "new"), CASES)
def test_a_damaged_file_is_named(
    tmp_path: Path,
    write: Callable[[Path], object],
    read: Callable[[Path], PrivilegedDataModule],
    file: str,
    old: bytes,
    new: bytes,
) -> None:
    write(tmp_path)
    path = tmp_path / file
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new))
    with pytest.raises(ValueError, match=f"Expected the content of '.*{path.name}' as it was published"):
        _ = read(tmp_path).read_splits()
