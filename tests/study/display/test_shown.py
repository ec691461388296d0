"""What a study says while its runs are made."""

import logging
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from rich.console import Console

from data_modules.files.json_file import write_json
from mmpkd.records.run_progress import RunProgress
from mmpkd.study.execution.command import RunCommand
from mmpkd.study.execution.display.shown import Shown, live
from mmpkd.study.execution.display.study_table import StudyTable
from mmpkd.study.execution.run import EndedRun, Run
from mmpkd.study.execution.runner import run_all
from tests.study.in_this_process import InThisProcess
from tests.study.synthetic import FakeCommandLine, planned, write_study


class WarningCommandLine(FakeCommandLine):
    """Prints the same warning in each training, and in each attempt."""

    def __call__(self, command: RunCommand) -> None:
        super().__call__(command)
        with command.run.record.log.open("a") as log:
            log.write(f"file.py:1: UserWarning: {command.run.arm.role} is odd\n")


def test_each_run_has_a_line_and_each_warning_is_named_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_study(tmp_path)
    runs = planned(tmp_path)
    shown = Shown(InThisProcess(WarningCommandLine(fail=["distilled"])), runs)
    with caplog.at_level(logging.INFO, "mmpkd"), live(shown.table):
        outcome = run_all(runs, shown)
    assert len(outcome.failed) == 2
    lines = [record.getMessage() for record in caplog.records]
    ended = [line for line in lines if " finished, " in line]
    assert [line.split(":")[0] for line in ended] == ["teacher (seed 0)", "baseline (seed 0)", "baseline (seed 1)"]
    assert "3 of 5 finished, 0 running, 1 failed" in ended[-1]
    warned = [line for line in lines if "UserWarning" in line]
    log = tmp_path / "out" / "baseline" / "seed0" / "log.txt"
    assert warned[1:] == [f"baseline (seed 0): UserWarning: student is odd (in {log})"]


def drawn(table: StudyTable, height: int) -> str:
    console = Console(width=100, height=height, force_terminal=False)
    with console.capture() as capture:
        console.print(table, height=height)
    return capture.get()


def set_progress(run: Run, progress: RunProgress) -> None:
    run.folder.mkdir(parents=True, exist_ok=True)
    write_json(run.record.progress, asdict(progress))


def test_the_table_shows_how_far_each_run_is_and_how_long_all_will_take(tmp_path: Path) -> None:
    write_study(tmp_path)
    runs = planned(tmp_path)
    teacher, baseline, distilled, *_ = runs
    table = StudyTable(runs, 2)
    table.start([teacher, baseline])
    assert table.seconds_left() is None
    run_all([teacher, baseline], InThisProcess(FakeCommandLine()))
    for run, seconds in ((teacher, 40.0), (baseline, 100.0)):
        state = run.record.state
        assert state is not None
        assert state.study is not None
        run.record.update(study=replace(state.study, seconds=seconds))
        set_progress(run, RunProgress(8, 8, 0.9, 0.0))
        table.end(EndedRun(run, None))
    table.start([distilled])
    set_progress(distilled, RunProgress(3, 8, 0.87654, 60.0))
    # all three take as long as the one that is finished, two at a time; what the running one tells leaves out its test
    assert table.seconds_left() == pytest.approx(3 * 100 / 2, abs=5)
    text = drawn(table, 40)
    assert [part in text for part in ("3 of 8", "0.877", "60 s left", "finished in 2 min")] == [True] * 4
    assert "2 of 5 finished, 1 running, about 2 min left" in text
    small = drawn(table, 9)
    assert "distilled" in small
    assert "teacher" not in small


def test_a_run_that_begins_again_forgets_how_far_it_was(tmp_path: Path) -> None:
    write_study(tmp_path)
    run = planned(tmp_path)[1]
    set_progress(run, RunProgress(8, 8, 0.9, 0.0))
    table = StudyTable([run], 1)
    table.start([run])
    assert not run.record.progress.exists()
    assert "begins" in drawn(table, 20)
    table.end(EndedRun(run, "RuntimeError: no\nmore"))
    assert "failed: RuntimeError: no" in drawn(table, 20)


def test_what_is_logged_stands_above_the_table_and_handlers_are_given_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_study(tmp_path)
    runs = planned(tmp_path)
    handler = logging.StreamHandler()
    before = handler.stream
    monkeypatch.setattr(logging.getLogger(), "handlers", [handler])
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes the output for a terminal
    shown = Shown(InThisProcess(FakeCommandLine()), runs)
    with live(shown.table):
        assert handler.stream is not before
        run_all(runs, shown)
        logging.getLogger("mmpkd").warning("the end")
    assert handler.stream is before
    text = capsys.readouterr().err
    assert text.index("the end") < text.rindex("validation AUROC")
    assert "5 of 5 finished, 0 running" in text[text.rindex("validation AUROC") :]
