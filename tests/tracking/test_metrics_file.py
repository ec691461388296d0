"""`metrics.csv` survives kills and power failures, and says where it is damaged."""

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmpkd.records import RunFolder
from mmpkd.tracking.metrics_file import LoggedValue, MetricsFile, read_metrics

NAMES = ["train/loss", 'val/auroc/a, "b"', "val/auroc/Ödem"]
VALUES = [LoggedValue(step, step // 2, name, step + 0.5) for step in range(4) for name in NAMES]


def written(folder: Path) -> MetricsFile:
    file = MetricsFile(RunFolder(folder))
    for value in VALUES:
        file.log_metrics({value.name: value.value, "epoch": value.epoch or 0}, value.step)
    return file


def test_values_come_back_as_they_were_logged(tmp_path: Path) -> None:
    file = written(tmp_path)
    file.log_metrics({"test/auroc_macro": math.nan}, 4)
    *before, last = read_metrics(file.path)
    assert before == VALUES
    assert last[:3] == (4, None, "test/auroc_macro")
    assert math.isnan(last.value)
    assert list(read_metrics(tmp_path / "none.csv")) == []


def test_steps_that_users_log_are_whole_numbers(tmp_path: Path) -> None:
    file = MetricsFile(RunFolder(tmp_path))
    file.log_metrics({"before": 0.5})
    file.log_metrics({"own": 1.0}, 3.0)  # type: ignore[arg-type]  # of a user's `self.log("step", ...)`
    file.log_metrics({"timer": 2.0, "epoch": 1.0})
    file.keep(3)
    file.log_metrics({"timer": 4.0})
    expected = [(0, None, "before", 0.5), (3, None, "own", 1.0), (3, 1, "timer", 2.0), (3, None, "timer", 4.0)]
    assert list(read_metrics(file.path)) == expected


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of an undamaged file."""
    return written(tmp_path_factory.mktemp("run")).path.read_bytes()


@given(st.integers(0, 400))
def test_a_kill_at_any_byte_loses_the_last_value_only(
    tmp_path_factory: pytest.TempPathFactory, whole: bytes, length: int
) -> None:
    file = MetricsFile(RunFolder(tmp_path_factory.getbasetemp() / "killed"))
    file.path.parent.mkdir(exist_ok=True)
    file.path.write_bytes(whole[:length])
    left = max(0, whole[:length].count(b"\n") - 1)
    heading = len("step,epoch,name,value\r\n")
    if length >= heading:
        assert list(read_metrics(file.path)) == VALUES[:left]
    # a resume goes back to a step, and logs what comes after it
    with pytest.MonkeyPatch.context() as disk:
        disk.setattr("os.fsync", lambda descriptor: None)  # a hundred flushes take seconds
        file.keep(0)
    file.log_metrics({"train/loss": 0.25, "epoch": 0}, 1)
    kept = [value for value in VALUES[:left] if value.step == 0]
    assert list(read_metrics(file.path)) == [*kept, LoggedValue(1, 0, "train/loss", 0.25)]


@pytest.mark.parametrize(
    "damage", [b"1,0,train/loss,0.\xe9\r\n", bytes(20) + b"\r\n", b"train/loss,0.5\r\n", b"x,0,a,1.0\r\n"]
)
def test_a_damaged_row_is_named_and_dropped_by_a_resume(tmp_path: Path, damage: bytes) -> None:
    file = written(tmp_path)
    lines = file.path.read_bytes().splitlines(keepends=True)
    file.path.write_bytes(b"".join([*lines[:3], damage, *lines[3:]]))
    with pytest.raises(
        ValueError, match=r"a logged value in line 4 of '.*metrics\.csv' but it is damaged. Restore or delete it"
    ):
        list(read_metrics(file.path))
    file.keep(3)
    assert list(read_metrics(file.path)) == VALUES


def test_a_damaged_heading_is_named(tmp_path: Path) -> None:
    file = written(tmp_path)
    file.path.write_bytes(bytes(5) + file.path.read_bytes()[5:])
    with pytest.raises(
        ValueError, match=r"'step,epoch,name,value' in the first line of '.*metrics\.csv' but it is damaged"
    ):
        list(read_metrics(file.path))
    file.keep(3)
    assert list(read_metrics(file.path)) == VALUES
