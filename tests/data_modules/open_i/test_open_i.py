from pathlib import Path

import numpy as np
import pytest

from data_modules.open_i import OpenIDataModule
from data_modules.open_i.datamodule import select
from data_modules.open_i.reports import HEADINGS, read_reports
from tests.data.open_i.data import write_open_i
from tests.real import real_data


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_open_i(tmp_path)


def test_headings_become_labels_whatever_their_qualifiers(root: Path) -> None:
    reports = read_reports(root / "NLMCXR_reports.tgz")
    assert [report.name for report in reports[:3]] == ["CXR1", "CXR2", "CXR3"]
    present = {name for name, value in zip(HEADINGS, reports[1].labels(), strict=True) if value}
    assert present == {"Lung Opacity", "Cardiomegaly"}
    assert np.isnan(reports[6].labels()).all()


def test_sections_and_masking(root: Path) -> None:
    report = read_reports(root / "NLMCXR_reports.tgz")[1]
    assert select(report, "findings") == "The heart is large. Lines are seen. The trachea is midline."
    assert select(report, "impression") == "Done."
    assert select(report, "label_masked") == "The trachea is midline."
    assert select(report, "findings_and_impression").endswith("midline. Done.")


def test_splits_hold_every_coded_report_once(root: Path) -> None:
    data = OpenIDataModule(root, val_fraction=0.25, test_fraction=0.25)
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
    assert sum(len(split) for split in splits.values()) == 3955 - 95
    labels = np.concatenate([split.label for split in splits.values()])
    counts = dict(zip(data.label_names, labels.sum(axis=0).astype(int).tolist(), strict=True))
    assert counts["Normal"] == 1391
    assert counts["Cardiomegaly"] == 375
