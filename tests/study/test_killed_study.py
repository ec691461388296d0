"""A study that is killed, again and again, ends with the report of an undisturbed one."""

import fcntl
import signal
import time
from pathlib import Path

import pytest

from tests.forked import finish
from tests.study.tiny_study import start_study, write_tiny_study

# files that appear in the middle of things: a fit of a student in the study's process, a student between fit and test in its own
MOMENTS = (("baseline/seed0/checkpoints/last.ckpt",), ("distilled/seed0/summary.json", "--jobs", "2"))


def kill_at(folder: Path, moment: Path, *more: str) -> None:
    process = start_study(folder, *more)
    while not moment.exists():
        assert process.is_alive(), f"the study ended with {process.exitcode} before {moment} appeared"
        time.sleep(0.005)
    process.kill()
    assert finish(process) == -signal.SIGKILL
    with (folder / "out" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # processes of the study save what they have, and end by themselves


@pytest.mark.slow
def test_a_killed_study_ends_with_the_report_of_an_undisturbed_one(tiny_root: Path, tmp_path: Path) -> None:
    write_tiny_study(tmp_path, tiny_root)
    assert finish(start_study(tmp_path)) == 0
    (tmp_path / "out").rename(tmp_path / "undisturbed")
    for moment, *engine in MOMENTS:
        kill_at(tmp_path, tmp_path / "out" / moment, *engine)
        assert not (tmp_path / "out" / "report").exists()
    assert finish(start_study(tmp_path)) == 0
    expected = sorted(path for path in (tmp_path / "undisturbed" / "report").rglob("*") if path.is_file())
    assert len(expected) == 6
    for path in expected:
        again = tmp_path / "out" / "report" / path.relative_to(tmp_path / "undisturbed" / "report")
        assert again.read_bytes() == path.read_bytes(), path.name
