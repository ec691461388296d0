"""Studies on a cluster: in a stand-in for SLURM, and in the real one where its packages are installed."""

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from data_modules.json_file import write_json
from mmpkd.commands.processes import run_lightning
from mmpkd.commands.study import main
from mmpkd.records import RunFolder, StudyRecord, TrainingRecord
from mmpkd.study.execution.attempt import failure, record_failure
from mmpkd.study.execution.fingerprint import run_fingerprint
from mmpkd.study.execution.job_record import JobRecord, write_job
from mmpkd.study.execution.planned_runs import plan_runs
from mmpkd.study.execution.run import EndedRun, Run
from mmpkd.study.execution.slurm import Slurm, check_not_queued
from mmpkd.study.execution.slurm_job import SlurmJob
from mmpkd.study.execution.slurm_queue import load_parameters, outside_jobs, slurm_executor
from mmpkd.study.plan.plan_file import load_plan
from mmpkd.study.plan.study_plan import StudyError
from tests.forked import finish
from tests.study import fake_slurm
from tests.study.single_node_slurm import single_node_slurm
from tests.study.synthetic import write_study
from tests.study.tiny_study import check_two_processes, start_study, write_tiny_study


def on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    commands = tmp_path / "slurm"
    fake_slurm.install(commands)
    monkeypatch.setenv("PATH", f"{commands}{os.pathsep}{os.environ['PATH']}")
    return commands


@pytest.fixture(params=["stand-in", "real"])
def preempt(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], object]]:
    """A cluster; the value preempts a job and lets it go on at once."""
    if request.param == "stand-in":
        with fake_slurm.node(on_path(tmp_path, monkeypatch)):
            yield lambda job: _sh("scancel", "--signal=TERM", job)
    else:
        with single_node_slurm(tmp_path / "slurm"):
            yield _preempt_for_real


def _preempt_for_real(job: str) -> None:
    _sh("sbatch", "--partition=urgent", "--exclusive", "--output=/dev/null", "--wrap", "true")
    deadline = time.monotonic() + 120
    while _sh("squeue", "--noheader", "--states=all", "--jobs", job, "--format=%T") != "PENDING":
        assert time.monotonic() < deadline
        time.sleep(0.2)
    _sh("scontrol", "update", f"JobId={job}", "StartTime=now")


def _sh(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def write_cluster_study(folder: Path, tiny_root: Path, max_epochs: int = 4) -> list[str]:
    """Write a tiny study and the options of its jobs; return the arguments that choose the cluster."""
    write_tiny_study(folder, tiny_root, max_epochs)
    (folder / "cluster.yaml").write_text("time: 30\ncpus_per_task: 1\n")
    return ["--slurm", str(folder / "cluster.yaml")]


def job_of(folder: Path, run: str) -> dict[str, str]:
    content: dict[str, str] = json.loads((folder / "out" / run / "job.json").read_text())
    return content


@pytest.mark.slow
def test_a_study_on_a_cluster_survives_preemption_and_its_own_death(
    tiny_root: Path, tmp_path: Path, preempt: Callable[[str], object]
) -> None:
    """Its report is that of an undisturbed study in one process; runs that can start together are one array."""
    cluster = write_cluster_study(tmp_path, tiny_root)
    assert finish(start_study(tmp_path)) == 0
    (tmp_path / "out").rename(tmp_path / "undisturbed")
    process = start_study(tmp_path, *cluster)
    _await_checkpoint(tmp_path, process)
    process.kill()
    process.join()
    before = job_of(tmp_path, "baseline/seed0")
    preempt(before["id"])
    assert finish(start_study(tmp_path, *cluster)) == 0
    assert job_of(tmp_path, "baseline/seed0") == before
    assert job_of(tmp_path, "teacher/seed0")["name"] == before["name"]
    assert job_of(tmp_path, "distilled/seed0")["name"] != before["name"]
    log = next((tmp_path / "out" / "slurm").glob(f"{before['id']}_0_log.out")).read_text()
    assert log.count("Starting with JobEnvironment") == 2
    for path in (tmp_path / "undisturbed" / "report").rglob("*"):
        again = tmp_path / "out" / "report" / path.relative_to(tmp_path / "undisturbed" / "report")
        assert path.is_dir() or again.read_bytes() == path.read_bytes(), path.name


@pytest.mark.slow
def test_a_run_may_have_two_tasks(tiny_root: Path, tmp_path: Path) -> None:
    """Under the real SLURM, in a job that is preempted."""
    cluster = write_cluster_study(tmp_path, tiny_root, max_epochs=20)
    options = tmp_path / "cluster.yaml"
    options.write_text(f"{options.read_text()}ntasks_per_node: 2\n")
    with single_node_slurm(tmp_path / "slurm"):
        process = start_study(tmp_path, *cluster, "--", "--trainer.devices=2", "--trainer.strategy=ddp")
        _await_checkpoint(tmp_path, process)
        job = job_of(tmp_path, "baseline/seed0")["id"]
        _preempt_for_real(job)
        assert finish(process) == 0
    folder = tmp_path / "out" / "slurm"
    for task in range(2):
        assert (folder / f"{job}_{task}_log.out").read_text().count("Starting with JobEnvironment") == 2
    check_two_processes(tmp_path / "out" / "distilled" / "seed0", sorted(folder.glob("*_log.out")))


def _await_checkpoint(folder: Path, process: BaseProcess) -> None:
    while not (folder / "out" / "baseline" / "seed0" / "checkpoints" / "last.ckpt").exists():
        assert process.is_alive()
        time.sleep(0.02)


def runs(folder: Path) -> list[Run]:
    plan = load_plan(folder / "study.yaml")
    return plan_runs(plan, folder / "out", plan.seeds, ())


# The engine, without jobs that run


@pytest.fixture
def held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A queue in which jobs stay; the folder of the stand-in."""
    commands = on_path(tmp_path, monkeypatch)
    (commands / "hold").touch()
    write_study(tmp_path)
    return commands


def engine(tmp_path: Path, patience: float = 0.0) -> Slurm:
    return Slurm(run_lightning, tmp_path / "out" / "slurm", {"time": 60}, "demo", poll=0.01, patience=patience)


def names(queue: Path) -> list[str]:
    return [json.loads(path.read_text())["name"] for path in sorted(queue.glob("[0-9]*.json"))]


def write_done(run: Run) -> None:
    training = TrainingRecord(2, 16, 1.0)
    run.record.update(status="tested", study=StudyRecord(run_fingerprint(run)), training=training)


def test_a_study_that_starts_again_waits_for_its_jobs(tmp_path: Path, held: Path) -> None:
    first, second = runs(tmp_path)[:2]
    engine(tmp_path).start([first, second])
    submitted = names(held)
    again = engine(tmp_path)
    again.start([first, second])
    assert names(held) == submitted
    assert len(set(submitted)) == 1
    write_done(second)
    assert again.wait() == [EndedRun(second, None)]


def test_jobs_do_not_inherit_the_job_that_a_study_runs_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    monkeypatch.setenv("SLURM_CONF", "/somewhere/slurm.conf")
    with outside_jobs():
        assert "SLURM_ARRAY_TASK_ID" not in os.environ
        assert os.environ["SLURM_CONF"] == "/somewhere/slurm.conf"
    assert os.environ["SLURM_ARRAY_TASK_ID"] == "3"


def test_a_job_with_other_settings_in_the_queue_is_refused(tmp_path: Path, held: Path) -> None:
    engine(tmp_path).start(runs(tmp_path)[:1])
    plan = load_plan(tmp_path / "study.yaml")
    changed = plan_runs(plan, tmp_path / "out", plan.seeds, ("--trainer.max_epochs=2",))
    with pytest.raises(StudyError, match=f"scancel --name={names(held)[0]}"):
        engine(tmp_path).start(changed[:1])


def test_what_was_submitted_halfway_is_submitted_again(tmp_path: Path, held: Path) -> None:
    run = runs(tmp_path)[0]
    engine(tmp_path).start([run])
    old = names(held)
    job = json.loads((run.folder / "job.json").read_text())
    del job["id"]  # as a kill in the middle of sbatch leaves it
    (run.folder / "job.json").write_text(json.dumps(job))
    engine(tmp_path).start([run])
    assert len(names(held)) == 1
    assert names(held) != old


def test_a_job_is_lost_after_some_patience_only(tmp_path: Path, held: Path) -> None:
    first, second = runs(tmp_path)[:2]
    patient = engine(tmp_path, patience=0.5)
    patient.start([first, second])
    for path in held.glob("[0-9]*.json"):
        path.unlink()
    begin = time.monotonic()
    threading.Timer(0.2, write_done, [first]).start()
    assert patient.wait() == [EndedRun(first, None)]  # its result appeared late
    (lost,) = patient.wait()
    assert lost.run == second
    assert lost.reason is not None
    assert "job 1_1 left the queue without a result" in lost.reason
    assert time.monotonic() - begin >= 0.5
    patient.start([second])
    assert len(names(held)) == 1  # it is submitted again


def test_a_run_with_a_job_in_the_queue_is_not_made_here(
    tmp_path: Path, held: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    engine(tmp_path).start(runs(tmp_path)[:1])
    assert main([str(tmp_path / "study.yaml"), "--out", str(tmp_path / "out")]) == 2
    assert f"scancel --name={names(held)[0]}" in capsys.readouterr().err
    next(held.glob("[0-9]*.json")).unlink()
    check_not_queued(runs(tmp_path))


@pytest.mark.slow
def test_the_reason_of_a_failed_job_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    on_path(tmp_path, monkeypatch)
    write_study(tmp_path)  # with configurations that no run can start from
    run = runs(tmp_path)[0]
    own = engine(tmp_path, patience=60)
    own.start([run])
    assert own.wait() == [EndedRun(run, "the command line ended with 2")]
    assert "teacher (seed 0) failed: the command line ended with 2" in caplog.text


def test_a_controller_that_is_away_is_waited_for(tmp_path: Path, held: Path, caplog: pytest.LogCaptureFixture) -> None:
    run = runs(tmp_path)[0]
    own = engine(tmp_path)
    (held / "squeue.fails").write_text("2")
    (held / "sbatch.fails").write_text("2")
    own.start([run])
    assert len(names(held)) == 1
    assert caplog.text.count("Unable to contact slurm controller") == 4
    (held / "sbatch.fails").write_text("99")
    with pytest.raises(StudyError, match="sbatch to take 1 jobs but it refused"):
        own.start(runs(tmp_path)[1:2])


# A job, in this process


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """The run of a task of an array in the stand-in."""
    commands = on_path(tmp_path, monkeypatch)
    write_study(tmp_path)
    write_json(commands / "7_2.json", {"name": "mmpkd-x", "index": 2, "job": "7", "state": "RUNNING"})
    for name, value in (("JOB_ID", "9"), ("JOB_NAME", "mmpkd-x"), ("ARRAY_JOB_ID", "7"), ("ARRAY_TASK_ID", "2")):
        monkeypatch.setenv(f"SLURM_{name}", value)
    own = runs(tmp_path)[0]
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


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "there is none"),
        ("partition: gpu", "`time: 240`"),
        ("- time", "`time: 240`"),
        ("time: true", "`time: 240`"),
        ("time: 60\npartitoin: gpu", "partitoin"),
        ("time: 60\nadditional_parameters: 3", "options of sbatch"),
    ],
)
def test_mistakes_in_the_options_of_a_cluster_are_explained_before_anything_starts(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    content: str | None,
    message: str,
) -> None:
    on_path(tmp_path, monkeypatch)
    write_study(tmp_path)
    if content is not None:
        (tmp_path / "cluster.yaml").write_text(content)
    arguments = ["--out", str(tmp_path / "out"), "--slurm", str(tmp_path / "cluster.yaml")]
    assert main([str(tmp_path / "study.yaml"), *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not list((tmp_path / "out").rglob("job.json"))


def test_the_options_to_copy_are_valid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    on_path(tmp_path, monkeypatch)
    parameters = load_parameters(Path(__file__).parents[2] / "experiments" / "slurm.yaml")
    assert slurm_executor(tmp_path / "jobs", parameters).parameters["srun_args"][-1] == "--cpus-per-task=8"


def test_a_machine_without_slurm_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "")
    write_study(tmp_path)
    (tmp_path / "cluster.yaml").write_text("time: 60")
    arguments = ["--out", str(tmp_path / "out"), "--slurm", str(tmp_path / "cluster.yaml")]
    assert main([str(tmp_path / "study.yaml"), *arguments]) == 2
    assert "found no sbatch, srun, squeue, scontrol, scancel" in capsys.readouterr().err
