"""A study that is killed, again and again, ends with the report of an undisturbed one."""

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from mmpkd.records import RunFolder
from tests.forked import finish, heed_ctrl_c
from tests.study.tiny_study import check_same_report, start_study, study_arguments, write_tiny_study

REPOSITORY = Path(__file__).parents[2]


def kill_in_the_fit_of_a_student(folder: Path) -> None:
    """Kill a study that makes two runs at a time; its processes save what they have."""
    process = start_study(folder, "--jobs", "2")
    await_file(folder / "out" / "baseline" / "seed0" / "checkpoints" / "last.ckpt", process.is_alive)
    process.kill()
    assert finish(process) == -signal.SIGKILL


def hang_up_between_fit_and_test_of_a_student(folder: Path) -> None:
    """Close the terminal of a study that makes two runs at a time: all its processes are told, in the way of a shell."""
    process = start_in_a_terminal(folder)
    await_training(folder / "out" / "distilled" / "seed0", lambda: process.poll() is None)
    os.killpg(process.pid, signal.SIGHUP)
    assert process.wait() == -signal.SIGHUP


def start_in_a_terminal(folder: Path) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "mmpkd", *study_arguments(folder, "--jobs", "2")]
    with (folder / "study.log").open("a") as log:
        return subprocess.Popen(
            command, cwd=REPOSITORY, stdout=log, stderr=log, start_new_session=True, preexec_fn=heed_ctrl_c
        )


def await_file(path: Path, is_alive: Callable[[], bool]) -> None:
    while not path.exists():
        assert is_alive(), f"the study ended before {path} appeared"
        time.sleep(0.005)


def await_training(folder: Path, is_alive: Callable[[], bool]) -> None:
    while not RunFolder(folder).is_trained:
        assert is_alive(), f"the study ended before {folder} was trained"
        time.sleep(0.005)


@pytest.mark.slow
def test_a_killed_study_ends_with_the_report_of_an_undisturbed_one(
    tiny_root: Path, undisturbed: Path, tmp_path: Path
) -> None:
    """The undisturbed one makes a run at a time, the others two and four: weights and report are the same, too."""
    write_tiny_study(tmp_path, tiny_root)
    for end in (kill_in_the_fit_of_a_student, hang_up_between_fit_and_test_of_a_student):
        end(tmp_path)
        with (tmp_path / "out" / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # processes of the study save what they have, and end by themselves
        assert not (tmp_path / "out" / "report").exists()
    # as a kill leaves it while targets or tables are written
    for unfinished in ("teacher/seed0/targets/.x.0a1b.tmp", "baseline/seed0/.predictions_test.parquet.0a1b.tmp"):
        (tmp_path / "out" / unfinished).mkdir(parents=True)
    # a study that was moved resumes as well
    (tmp_path / "out").rename(tmp_path / "moved")
    assert finish(start_study(tmp_path, "--out", str(tmp_path / "moved"), "--jobs", "4")) == 0
    for arm in ("teacher", "baseline", "distilled"):
        weights = [torch.load(out / arm / "seed0/checkpoints/best.ckpt") for out in (undisturbed, tmp_path / "moved")]
        torch.testing.assert_close(weights[1]["state_dict"], weights[0]["state_dict"], rtol=0, atol=0, equal_nan=True)
    check_same_report(undisturbed, tmp_path / "moved")
    assert list((tmp_path / "moved").rglob("*.tmp")) == []


@pytest.mark.slow
def test_ctrl_c_stops_a_study_whose_processes_are_being_started(tiny_root: Path, tmp_path: Path) -> None:
    """While their server imports everything, which takes seconds."""
    write_tiny_study(tmp_path, tiny_root, max_epochs=1000)
    process = start_in_a_terminal(tmp_path)
    await_file(tmp_path / "out" / "baseline" / "seed0" / "run.json", lambda: process.poll() is None)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(timeout=60) == 130
    printed = (tmp_path / "study.log").read_text()
    assert printed.endswith("mmpkd study: interrupted. The same command resumes where it stopped.\n")
    assert "Traceback" not in printed
    assert "failed" not in printed
