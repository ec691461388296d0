"""A job of a cluster, in this process."""

import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from data_modules.files.json_file import write_json
from mmpkd.commands.processes.run import run_lightning
from mmpkd.records import RunFolder, StudyRecord, TrainingRecord
from mmpkd.study.execution.attempt import failure, record_failure
from mmpkd.study.execution.fingerprint import run_fingerprint
from mmpkd.study.execution.run import Run
from mmpkd.study.execution.slurm.job import SlurmJob
from mmpkd.study.execution.slurm.job_record import JobRecord, write_job
from tests.study.cluster.stand_in import on_path, write_done
from tests.study.synthetic import planned, write_study


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """The run of a task of an array in the stand-in."""
    commands = on_path(tmp_path, monkeypatch)
    write_study(tmp_path)
    write_json(commands / "7_2.json", {"name": "mmpkd-x", "index": 2, "job": "7", "state": "RUNNING"})
    for name, value in (("JOB_ID", "9"), ("JOB_NAME", "mmpkd-x"), ("ARRAY_JOB_ID", "7"), ("ARRAY_TASK_ID", "2")):
        monkeypatch.setenv(f"SLURM_{name}", value)
    own = planned(tmp_path)[0]
    write_job(own, JobRecord("mmpkd-x", 2, "f" * 64))
    handlers = {number: signal.getsignal(number) for number in (signal.SIGUSR2, signal.SIGTERM)}
    yield own
    for number, handler in handlers.items():
        signal.signal(number, handler)


def is_requeued(tmp_path: Path) -> bool:
    state: str = json.loads((tmp_path / "slurm" / "7_2.json").read_text())["state"]
    return state == "REQUEUED"


def command_line(monkeypatch: pytest.MonkeyPatch, does: Callable[[Path], None], listens: bool = True) -> list[str]:
    """Put something in the place of the Lightning command line, which hears signals or not; return the verbs it gets."""
    calls = []

    def lightning(args: list[str]) -> None:
        calls.append(args[0])
        before = signal.getsignal(signal.SIGTERM)
        if listens:
            signal.signal(signal.SIGTERM, lambda *given: before(*given))  # type: ignore[operator, misc]
        does(Path(args[args.index("--run.dir") + 1]))
        signal.signal(signal.SIGTERM, before)

    monkeypatch.setattr("mmpkd.cli.quick.main", lightning)
    return calls


def save(folder: Path) -> None:
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "checkpoints" / "last.ckpt").touch()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR2])
def test_a_job_that_is_stopped_goes_back_into_the_queue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run, number: signal.Signals
) -> None:
    def lightning(folder: Path) -> None:
        signal.raise_signal(number)
        save(folder)
        raise SystemExit(143)

    command_line(monkeypatch, lightning)
    with pytest.raises(SystemExit):
        SlurmJob(run, 0, run_lightning)()
    assert is_requeued(tmp_path)


def test_a_signal_is_heard_while_lightning_does_not_listen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    def lightning(folder: Path) -> None:
        signal.raise_signal(signal.SIGUSR2)
        pytest.fail("it went on")

    command_line(monkeypatch, lightning, listens=False)
    with pytest.raises(SystemExit):
        SlurmJob(run, 60, run_lightning)()
    assert is_requeued(tmp_path)


def test_a_signal_between_training_and_test_is_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    def lightning(folder: Path) -> None:
        RunFolder(folder).update(status="trained", training=TrainingRecord(2, 16, 1.0))
        signal.raise_signal(signal.SIGTERM)  # the last step is done

    calls = command_line(monkeypatch, lightning)
    with pytest.raises(SystemExit):
        SlurmJob(run, 60, run_lightning)()
    assert calls == ["fit"]
    assert is_requeued(tmp_path)


def test_what_breaks_because_of_a_signal_is_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    def lightning(folder: Path) -> None:
        signal.raise_signal(signal.SIGTERM)
        raise RuntimeError("DataLoader worker is killed by signal: Terminated.")

    command_line(monkeypatch, lightning)
    with pytest.raises(SystemExit):
        SlurmJob(run, 60, run_lightning)()
    assert is_requeued(tmp_path)
    assert not (run.folder / "error.log").exists()


def test_a_cancelled_job_does_not_come_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    def lightning(folder: Path) -> None:
        signal.raise_signal(signal.SIGTERM)
        raise SystemExit(143)

    command_line(monkeypatch, lightning)
    task = tmp_path / "slurm" / "7_2.json"
    task.write_text(task.read_text().replace("RUNNING", "COMPLETING"))
    with pytest.raises(SystemExit):
        SlurmJob(run, 60, run_lightning)()
    assert not is_requeued(tmp_path)


def test_a_time_limit_that_is_too_short_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    def lightning(folder: Path) -> None:
        signal.raise_signal(signal.SIGUSR2)
        raise SystemExit(143)

    command_line(monkeypatch, lightning)
    with pytest.raises(RuntimeError, match="Raise `time`"):
        SlurmJob(run, 0, run_lightning)()
    assert not is_requeued(tmp_path)
    assert "Raise `time`" in (run.folder / "error.log").read_text()


def test_of_several_tasks_the_first_failure_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    """A task that SLURM stops because another failed does not put the job back."""

    def lightning(_: Path) -> None:
        record_failure(run, "rank 1: no memory")
        signal.raise_signal(signal.SIGTERM)
        raise RuntimeError("connection closed by peer")

    command_line(monkeypatch, lightning)
    with pytest.raises(RuntimeError, match="rank 1: no memory"):
        SlurmJob(run, 60, run_lightning)()
    assert not is_requeued(tmp_path)
    assert failure(run) == "rank 1: no memory"


def test_a_job_that_is_not_wanted_any_more_does_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    calls = command_line(monkeypatch, lambda folder: None)
    write_job(run, JobRecord("mmpkd-y", 2, "f" * 64))
    SlurmJob(run, 60, run_lightning)()
    write_job(run, JobRecord("mmpkd-x", 2, "f" * 64))
    write_done(run)
    SlurmJob(run, 60, run_lightning)()
    assert calls == []


def test_settings_that_changed_while_a_job_waited_are_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    run.record.update(study=StudyRecord(run_fingerprint(run)))
    (tmp_path / "teacher.yaml").write_text("data: data.yaml\ny: 2\n")
    calls = command_line(monkeypatch, lambda folder: None)
    with pytest.raises(RuntimeError, match="they changed since"):
        SlurmJob(run, 60, run_lightning)()
    assert calls == []
