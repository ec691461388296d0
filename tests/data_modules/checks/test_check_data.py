"""`check_data` finds each thing that would break training or scores, and nothing on a clean set."""

import errno
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from data_modules.files.atomic import DiskFullError
from data_modules.images.regions import BoxRegion, Region, Roi
from data_modules.split import Split, Table
from mmpkd.commands.main import main
from tests.data_modules.checks.given import check, problem
from tests.tiny import write_tiny


def test_a_clean_set_has_no_problem_and_is_counted(splits: dict[str, Split]) -> None:
    report = check(splits)
    assert report.problems == ()
    assert report.num_opened == 42
    train, label = report.splits["train"], splits["train"].label[:, 0]
    assert (train["samples"], train["patients"], train["with_privileged"], train["with_roi"]) == (20, 10, 19, 0)
    assert train["labels"]["Left Finding"] == {
        "present": (label == 1).sum(), "absent": (label == 0).sum(), "not_stated": 0, "roi": 0,
    }  # fmt: skip
    assert report.splits["test"]["labels"]["Left Finding"]["roi"] == (splits["test"].label[:, 0] == 1).sum()


def test_shared_patients_are_found(splits: dict[str, Split]) -> None:
    patient = splits["test"].patient_id.astype("U32")
    patient[:2] = splits["train"].patient_id[0]
    report = check(splits | {"test": replace(splits["test"], patient_id=patient)})
    assert problem(report) == ("error", "patients", "train", 1)
    assert report.problems[0].examples == ("train-patient0",)


def test_missing_files_are_counted_all_of_them(splits: dict[str, Split]) -> None:
    for row in (2, 5, 7):
        splits["train"].image[row].unlink()
    report = check(splits, max_images=0)
    assert problem(report) == ("error", "files", "train", 3)
    assert report.problems[0].examples == ("train2", "train5", "train7")


def test_unreadable_images_are_found_where_they_are_opened(splits: dict[str, Split]) -> None:
    path = splits["train"].image[7]
    path.write_bytes(path.read_bytes()[:100])
    assert problem(check(splits)) == ("error", "images", "train", 1)
    few = check(splits, max_images=2)
    assert few.problems == ()
    assert few.num_opened == 2 + len({0, 9, *splits["val"].rois}) + len({0, 11, *splits["test"].rois})


@pytest.mark.parametrize(
    ("values", "severity", "split"),
    [((1.0,), "error", "train"), ((np.nan,), "error", "train"), ((0.0,), "error", "val"), ((1.0,), "warning", "test")],
)
def test_constant_labels_are_found(splits: dict[str, Split], values: tuple[float], severity: str, split: str) -> None:
    label = splits[split].label.copy()
    label[:, 1] = values[0]
    report = check(splits | {split: replace(splits[split], label=label, rois={})})
    assert problem(report)[:3] == (severity, "labels", split)
    assert "Right Finding" in report.problems[0].message


@pytest.mark.parametrize(
    ("region", "severity", "words"),
    [
        (BoxRegion((40, 4, 60, 8)), "error", "outside or empty"),
        (BoxRegion((4, 4, 4, 8)), "error", "outside or empty"),
        (BoxRegion((-8, 4, 8, 8)), "warning", "reaches beyond"),
        (BoxRegion((4.6, 4.6, 5.4, 5.4)), "warning", "at least a pixel"),
    ],
)
def test_regions_that_cannot_be_scored_are_found(
    splits: dict[str, Split], region: Region, severity: str, words: str
) -> None:
    report = check(splits | {"val": replace(splits["val"], rois={3: (Roi(0, (region,)),)})})
    assert problem(report) == (severity, "regions", "val", 1)
    assert words in report.problems[0].message
    assert report.problems[0].examples == ("val3",)


def test_a_region_of_another_frame_is_found(splits: dict[str, Split]) -> None:
    roi = Roi(0, (BoxRegion((0, 0, 5, 5)),), frame=(64, 32))
    report = check(splits | {"val": replace(splits["val"], rois={3: (roi,)})})
    assert "aspect ratio" in report.problems[0].message


def test_training_regions_empty_splits_and_missing_privileged_input_are_found(splits: dict[str, Split]) -> None:
    train = replace(splits["train"], rois={0: (Roi(1, (BoxRegion((0, 0, 5, 5)),)),)})
    assert problem(check(splits | {"train": train}))[:3] == ("error", "splits", "train")
    del splits["val"]
    assert problem(check(splits))[:3] == ("error", "splits", "val")


def test_privileged_input_that_says_nothing_is_found(splits: dict[str, Split]) -> None:
    nothing = replace(splits["train"], has_privileged=np.zeros(20, np.bool_))
    assert problem(check({**splits, "train": nothing}))[:2] == ("error", "privileged")
    table = splits["train"].table
    assert isinstance(table, Table)
    flat = replace(splits["train"], table=replace(table, numeric=np.ones_like(table.numeric)))
    assert problem(check({**splits, "train": flat}))[:2] == ("warning", "privileged")


TABLE = """\
class_path: data_modules.table.TableDataModule
init_args:
  root: {root}
  path: table.csv
  image_column: file
  label_columns: [ill]
  sample_column: id
  patient_column: patient
  strata_columns: [view]
  image_size: 16
"""


def test_the_command_prints_writes_json_and_exits_with_1_on_errors(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_tiny(tmp_path / "images", {"train": 6})
    subsets = ("train", "train", "val", "val", "test", "test")
    rows = [f"s{i},images/train/{i}.png,p{i},{subset},{i % 2},PA" for i, subset in enumerate(subsets)]
    table, config = tmp_path / "table.csv", tmp_path / "data.yaml"
    table.write_text("\n".join(["id,file,patient,split,ill,view", *rows]))
    config.write_text(TABLE.format(root=tmp_path))
    arguments = ["check-data", str(config), "--num_workers", "0", "--json", str(tmp_path / "report.json")]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert "view: PA" in printed
    assert "0 errors" in printed
    table.write_text(table.read_text().replace("images/train/4.png,p4", "images/train/9.png,p0"))
    assert main(arguments) == 1
    printed = capsys.readouterr().out
    assert "error patients in train" in printed
    assert "error files in test" in printed
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["num_errors"] == 2
    assert report["splits"]["train"]["strata"] == {"view": {"PA": 2}}
    table.unlink()
    assert main(arguments) == 1  # a reader that fails is a problem, not a traceback
    assert "error reading" in capsys.readouterr().out


def test_a_file_that_cannot_be_written_is_said_before_any_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "taken").write_text("")
    monkeypatch.setattr("mmpkd.cli.data_config.load_data_module", lambda *_: pytest.fail("the data were read"))
    for path in (tmp_path / "taken" / "report.json", tmp_path):
        assert main(["check-data", "data.yaml", "--json", str(path)]) == 1
        assert "check-data: Expected" in capsys.readouterr().err


def test_the_table_is_shown_also_if_the_file_cannot_be_written_any_more(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, content: object) -> None:
        raise DiskFullError(errno.ENOSPC, f"Expected room for '{path}'")

    monkeypatch.setattr("data_modules.files.json_file.write_json", full)
    config = tmp_path / "data.yaml"
    config.write_text(TABLE.format(root=tmp_path))
    assert main(["check-data", str(config), "--json", str(tmp_path / "report.json")]) == 1
    printed = capsys.readouterr()
    assert "error reading" in printed.out
    assert "Expected room for" in printed.err


@pytest.mark.parametrize("setting", ["image_size=0", "std=0", "mean=127"])
def test_settings_that_no_image_survives_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], setting: str
) -> None:
    config = tmp_path / "data.yaml"
    config.write_text(TABLE.format(root=tmp_path))
    assert main(["check-data", str(config), f"--data.{setting}"]) == 1
    printed = capsys.readouterr().err
    assert printed.startswith("mmpkd check-data: Expected")
    assert f"data.{setting.split('=')[0]}" in printed
