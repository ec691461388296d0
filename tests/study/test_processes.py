"""Runs in processes of their own."""

import os
import signal
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from mmpkd.commands.processes.run import PROGRAM
from mmpkd.study.execution.command import RunCommand
from mmpkd.study.execution.engines import InThreads
from mmpkd.study.execution.processes import LocalProcesses, locked, shared_images
from mmpkd.study.execution.run import Run
from mmpkd.study.execution.runner import run_all
from mmpkd.study.plan.flags import parse_flags
from mmpkd.study.plan.study_plan import Arm
from tests.study.synthetic import planned
from tests.study.tiny_study import check_two_processes, write_tiny_study

# a descriptor that can be read, as that of a process that has ended
READY = os.open(os.devnull, os.O_RDONLY)


def fit(folder: Path, *overrides: str) -> RunCommand:
    """Return a training without a configuration."""
    return RunCommand("fit", Run(Arm("arm", (), "student"), 0, folder, overrides=parse_flags(overrides)))


def test_processes_end_with_the_status_of_their_command(tmp_path: Path) -> None:
    with locked(tmp_path) as lock:
        processes = LocalProcesses(PROGRAM, 1, 0, lock)
        with pytest.raises(ChildProcessError, match=r"nonsense.*\(.* status 2; its output is in .*log\.txt\)$"):
            processes(fit(tmp_path / "run", "--nonsense"))
    assert "nonsense" in (tmp_path / "run" / "log.txt").read_text()


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (1, r"^Expected a report but got none\. \(the process ended with status 1; its output is in "),
        (-9, r"^the process ended with status -9; .*; its last line is: Expected a report"),
    ],
)
def test_the_last_line_of_the_log_is_the_reason(
    status: int, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(program: object, args: list[str], log: Path, environment: dict[str, str], lock: int) -> SimpleNamespace:
        log.write_text("Traceback (most recent call last):\n  ...\nExpected a report but got none.\n\n")
        return SimpleNamespace(exitcode=status, join=lambda: None, sentinel=READY)

    monkeypatch.setattr("mmpkd.study.execution.processes.start_command", start)
    with pytest.raises(ChildProcessError, match=reason):
        LocalProcesses(PROGRAM, 1, 0, 0)(fit(tmp_path))


@pytest.mark.slow
def test_a_run_may_have_two_processes(tiny_root: Path, tmp_path: Path) -> None:
    """The first is forked from the server, Lightning starts the second; each region is scored once."""
    write_tiny_study(tmp_path, tiny_root, max_epochs=1)
    (teacher, *_), (*_, distilled) = (
        planned(tmp_path),
        planned(tmp_path, "--trainer.devices=2", "--trainer.strategy=ddp"),
    )
    # the teacher card has no student to compare with
    runs = [teacher, replace(distilled, reference=None)]
    with locked(tmp_path / "out") as lock, InThreads(LocalProcesses(PROGRAM, 1, 0, lock), 1) as engine:
        assert run_all(runs, engine).failed == ()
    logs = [run.folder / "log.txt" for run in runs]
    check_two_processes(tmp_path / "out" / "distilled" / "seed0", logs)


def test_a_process_that_starts_while_the_study_stops_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C did not reach it."""
    processes = LocalProcesses(PROGRAM, 1, 0, 0)
    stopped = []

    def start(*_: object) -> SimpleNamespace:
        processes.stop()
        return SimpleNamespace(
            exitcode=-signal.SIGTERM, join=lambda: None, sentinel=READY, terminate=lambda: stopped.append(True)
        )

    monkeypatch.setattr("mmpkd.study.execution.processes.start_command", start)
    with pytest.raises(SystemExit) as error:
        processes(fit(tmp_path))
    assert error.value.code == 143
    assert stopped == [True]


def test_a_server_that_was_killed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = SimpleNamespace(exitcode=255, join=lambda: None, sentinel=READY)
    monkeypatch.setattr("mmpkd.study.execution.processes.start_command", lambda *_: gone)
    with pytest.raises(ChildProcessError, match="perhaps for lack of memory"):
        LocalProcesses(PROGRAM, 1, 0, 0)(fit(tmp_path))


def test_each_process_has_its_share_of_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def start(program: object, args: list[str], log: Path, environment: dict[str, str], lock: int) -> SimpleNamespace:
        assert args[:2] == ["fit", "--debug"]  # the log of a run keeps its traceback
        seen.append((environment["LOKY_MAX_CPU_COUNT"], environment.get("CUDA_VISIBLE_DEVICES")))
        return SimpleNamespace(exitcode=0, join=lambda: None, sentinel=READY)

    monkeypatch.setattr("mmpkd.study.execution.processes.start_command", start)
    monkeypatch.setattr("mmpkd.study.execution.processes.num_processors", lambda: 8)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    for num_jobs, num_gpus in ((2, 0), (4, 2), (1, 2)):
        processes = LocalProcesses(PROGRAM, num_jobs, num_gpus, 0)
        for _ in range(num_jobs):
            processes(fit(tmp_path))
    assert seen == [("4", None)] * 2 + [("2", "0"), ("2", "1")] * 2 + [("8", None)]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,MIG-7")
    seen.clear()
    processes = LocalProcesses(PROGRAM, 3, 2, 0)
    for _ in range(3):
        processes(fit(tmp_path))
    assert [gpu for _, gpu in seen] == ["4", "MIG-7", "4"]


@pytest.mark.parametrize(("chosen", "num_gpus", "expected"), [(None, 0, "1"), ("3", 0, None), (None, 2, None)])
def test_a_run_has_one_thread_however_many_are_made_at_a_time(
    chosen: str | None, num_gpus: int, expected: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the user has chosen holds, and a GPU's run is not limited."""
    seen = []

    def start(program: object, args: list[str], log: Path, environment: dict[str, str], lock: int) -> SimpleNamespace:
        seen.append(environment.get("OMP_NUM_THREADS"))
        return SimpleNamespace(exitcode=0, join=lambda: None, sentinel=READY)

    monkeypatch.setattr("mmpkd.study.execution.processes.start_command", start)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if chosen is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", chosen)
    for num_jobs in (1, 2, 4):
        LocalProcesses(PROGRAM, num_jobs, num_gpus, 0)(fit(tmp_path))
    assert seen == [expected] * 3


def test_shared_images_of_a_killed_study_are_forgotten_and_none_stay(tmp_path: Path) -> None:
    left = tmp_path / "shared_images" / "old"
    left.parent.mkdir()
    left.touch()
    with shared_images(tmp_path) as folder:
        assert list(folder.iterdir()) == []
        (folder / "new").touch()
    assert not folder.exists()
