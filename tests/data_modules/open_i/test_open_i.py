from pathlib import Path

import numpy as np
import pytest

from data_modules.open_i import OpenIDataModule
from data_modules.open_i.datamodule import select
from data_modules.open_i.reports import CODES, Report, read_reports
from tests.data.open_i.data import write_open_i
from tests.real import real_data


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_open_i(tmp_path / "open_i")


def test_headings_become_labels_whatever_their_qualifiers(root: Path) -> None:
    reports = read_reports(root / "NLMCXR_reports.tgz")
    assert [report.name for report in reports[:3]] == ["CXR1", "CXR2", "CXR3"]
    present = {name for name, value in zip(CODES, reports[1].labels(), strict=True) if value}
    assert present == {"Lung Opacity", "Cardiomegaly"}
    assert np.isnan(reports[6].labels()).all()


@pytest.mark.parametrize(
    ("code", "label"),
    [
        ("Cardiac Shadow/enlarged/mild", "Cardiomegaly"),
        ("Cardiac Shadow/left/enlarged", "Cardiomegaly"),
        ("Cardiac Shadow/borderline", "Cardiomegaly"),
        ("cardiomegaly/Borderline", "Cardiomegaly"),
        ("Bullous Emphysema/lung/apex/bilateral", "Emphysema"),
        ("Hydropneumothorax/right", "Pleural Effusion"),
        ("Hemothorax/left/small", "Pleural Effusion"),
        ("Hemopneumothorax/right/moderate", "Pleural Effusion"),
        ("Cardiac Shadow/obscured/severe", None),
        ("Aorta, Thoracic/enlarged", None),
        ("Subcutaneous  Emphysema", None),
        ("Mediastinal Emphysema", None),
        ("Pericardial Effusion/large", None),
        ("Pneumothorax/apex/right", None),
    ],
)
def test_a_code_counts_with_its_qualifiers(code: str, label: str | None) -> None:
    labels = dict(zip(CODES, Report("CXR1", {}, (code,)).labels(), strict=True))
    assert {name for name, value in labels.items() if value} == ({label} if label else set())


def test_a_report_whose_only_code_is_the_quality_of_its_image_says_nothing(tmp_path: Path) -> None:
    quality = "Technical Quality of Image Unsatisfactory"
    root = write_open_i(tmp_path, codes={2: [quality], 4: [quality, "Cardiac Shadow/enlarged"]})
    reports = read_reports(root / "NLMCXR_reports.tgz")
    assert np.isnan(reports[1].labels()).all()
    assert sum(reports[3].labels()) == 1
    assert OpenIDataModule(root).splits["train"].counts["dropped_not_coded"] == 2


def test_sections_and_masking(root: Path) -> None:
    report = read_reports(root / "NLMCXR_reports.tgz")[1]
    assert select(report, "findings") == "The heart is large. Lines are seen. The trachea is midline."
    assert select(report, "impression") == "Done."
    assert select(report, "label_masked") == "The trachea is midline."
    assert select(report, "findings_and_impression").endswith("midline. Done.")


def test_splits_hold_every_coded_report_once(root: Path) -> None:
    data = OpenIDataModule(root.parent, val_fraction=0.25, test_fraction=0.25)
    names = [name for split in data.splits.values() for name in split.sample_id.tolist()]
    assert len(names) == len(set(names)) == 39
    assert data.splits["train"].counts["dropped_not_coded"] == 1
    everyone = {
        n: bool(h) for s in data.splits.values() for n, h in zip(s.sample_id.tolist(), s.has_privileged, strict=True)
    }
    assert not everyone["CXR9"]
    assert sum(everyone.values()) == 38
    with pytest.raises(ValueError, match="leave reports"):
        OpenIDataModule(root, val_fraction=0.6, test_fraction=0.5)
    with pytest.raises(FileNotFoundError, match="archive of reports"):
        _ = OpenIDataModule(root / "x").splits


def test_the_real_reports_are_read() -> None:
    data = OpenIDataModule(real_data("openi_reports"))
    splits = data.splits
    # 95 were not coded, and 6 for the quality of their image only
    assert sum(len(split) for split in splits.values()) == 3955 - 95 - 6
    labels = np.concatenate([split.label for split in splits.values()])
    counts = dict(zip(data.label_names, labels.sum(axis=0).astype(int).tolist(), strict=True))
    assert counts == {
        "Normal": 1391, "Atelectasis": 332, "Cardiomegaly": 396, "Edema": 100, "Emphysema": 148, "Fracture": 84,
        "Granuloma": 421, "Lung Opacity": 569, "Nodule": 126, "Pleural Effusion": 163,
    }  # fmt: skip
