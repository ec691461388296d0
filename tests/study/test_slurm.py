"""Studies on a cluster: in a stand-in for SLURM, and in the real one where its packages are installed."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path

import pandas as pd
import pytest

from mmpkd.study.command import main
from mmpkd.study.plan import StudyError
from mmpkd.study.plan_file import load_plan
from mmpkd.study.run import Run
from mmpkd.study.runner import plan_runs
from mmpkd.study.slurm import check_not_queued
from mmpkd.study.slurm_job import SlurmJob
from tests.runs import config, student, text_teacher
from tests.study import fake_slurm
from tests.study.single_node_slurm import single_node_slurm
from tests.study.synthetic import write_study
from tests.study.test_killed_study import start

MONITORS = [
    {"class_path": "mmpkd.callbacks.localization.LocalizationMonitor"},
    {"class_path": "mmpkd.callbacks.attribution_maps.AttributionMapLogger", "init_args": {"num_images": 2}},
]


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
        on_path(tmp_path, monkeypatch)
        yield lambda job: _sh("scancel", "--signal=TERM", job)
    else:
        with single_node_slurm(tmp_path / "slurm"):
            yield _preempt_for_real


def _preempt_for_real(job: str) -> None:
    _sh("sbatch", "--partition=urgent", "--exclusive", "--output=/dev/null", "--wrap", "true")
    while _sh("squeue", "--noheader", "--jobs", job, "--format=%T") != "PENDING":
        time.sleep(0.2)
    _sh("scontrol", "update", f"JobId={job}", "StartTime=now")


def _sh(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def write_tiny_study(folder: Path, tiny_root: Path, seeds: tuple[int, ...], max_epochs: int = 2) -> list[str]:
    """Write a study and the options of its jobs; return the arguments that choose the cluster."""
    write_study(folder, seeds)
    run = {"save_every_n_steps": 3}
    config(folder, "teacher", tiny_root, text_teacher(), run=run)
    for name in ("baseline", "distill"):
        config(folder, name, tiny_root, student(), run=run, trainer={"callbacks": MONITORS, "max_epochs": max_epochs})
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
    cluster = write_tiny_study(tmp_path, tiny_root, (0, 1), max_epochs=8)
    assert start(tmp_path).wait() == 0
    (tmp_path / "out").rename(tmp_path / "undisturbed")
    process = start(tmp_path, *cluster)
    while not (tmp_path / "out" / "baseline" / "seed0" / "checkpoints" / "last.ckpt").exists():
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = job_of(tmp_path, "baseline/seed0")
    preempt(before["id"])
    assert start(tmp_path, *cluster).wait() == 0
    assert job_of(tmp_path, "baseline/seed0") == before
    assert job_of(tmp_path, "teacher/seed0")["name"] == job_of(tmp_path, "baseline/seed1")["name"] == before["name"]
    assert job_of(tmp_path, "distilled/seed0")["name"] != before["name"]
    log = next((tmp_path / "out" / "slurm").glob(f"{before['id']}_0_log.out")).read_text()
    assert log.count("Starting with JobEnvironment") == 2
    for path in (tmp_path / "undisturbed" / "report").rglob("*"):
        again = tmp_path / "out" / "report" / path.relative_to(tmp_path / "undisturbed" / "report")
        assert path.is_dir() or again.read_bytes() == path.read_bytes(), path.name


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["process", "real"])
def test_a_run_may_have_two_processes(tiny_root: Path, tmp_path: Path, engine: str) -> None:
    """Under DDP, from a study's process or as two tasks of a job; each region of the test set is scored once."""
    cluster = write_tiny_study(tmp_path, tiny_root, (0,))
    options = tmp_path / "cluster.yaml"
    options.write_text(f"{options.read_text()}ntasks_per_node: 2\n")
    with nullcontext() if engine == "process" else single_node_slurm(tmp_path / "slurm"):
        chosen = ["--jobs", "1"] if engine == "process" else cluster
        overrides = ["--", "--trainer.devices=2", "--trainer.strategy=ddp"]
        assert start(tmp_path, *chosen, *overrides).wait() == 0
    logs = sorted((tmp_path / "out" / "slurm").glob("*_log.out")) + sorted((tmp_path / "out").rglob("log.txt"))
    assert any("GLOBAL_RANK: 1, MEMBER: 2/2" in log.read_text() for log in logs)
    rows = pd.read_parquet(tmp_path / "out" / "distilled" / "seed0" / "roi_test.parquet")
    key = ["attribution", "finding", "sample_id"]
    assert not rows.duplicated(key).any()
    expected = pd.read_parquet(tmp_path / "out" / "baseline" / "seed0" / "predictions_test.parquet")
    assert len(rows) == rows["attribution"].nunique() * expected.filter(like="target/").sum().sum()


@pytest.mark.slow
def test_a_run_without_a_result_is_reported_and_made_again(
    tiny_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    on_path(tmp_path, monkeypatch)
    cluster = write_tiny_study(tmp_path, tiny_root, (0,), max_epochs=8)
    process = start(tmp_path, *cluster)
    while not (tmp_path / "out" / "baseline" / "seed0" / "checkpoints" / "last.ckpt").exists():
        assert process.poll() is None
        time.sleep(0.02)
    planned = {run.name: run for run in runs(tmp_path)}
    with pytest.raises(StudyError, match=r"scancel --name=mmpkd-"):
        check_not_queued(list(planned.values()))
    _sh("scancel", job_of(tmp_path, "baseline/seed0")["id"])
    assert process.wait() == 1
    page = (tmp_path / "out" / "report" / "index.html").read_text()
    assert "left the queue without a result" in page
    check_not_queued(list(planned.values()))
    assert start(tmp_path, *cluster).wait() == 0


def runs(folder: Path) -> list[Run]:
    plan = load_plan(folder / "study.yaml")
    return plan_runs(plan, folder / "out", plan.seeds, ())


@pytest.fixture
def requeued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], bool]]:
    """A task of an array in the stand-in; the value tells whether it was put back into the queue."""
    commands = on_path(tmp_path, monkeypatch)
    (commands / "7_2.json").write_text(json.dumps({"name": "mmpkd-x", "index": 2, "job": "7", "state": "RUNNING"}))
    for name, value in (("SLURM_JOB_ID", "9"), ("SLURM_ARRAY_JOB_ID", "7"), ("SLURM_ARRAY_TASK_ID", "2")):
        monkeypatch.setenv(name, value)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGUSR2, signal.SIGTERM)}
    yield lambda: json.loads((commands / "7_2.json").read_text())["state"] == "REQUEUED"
    for number, handler in handlers.items():
        signal.signal(number, handler)


def stop_in_the_middle(monkeypatch: pytest.MonkeyPatch, number: signal.Signals, saves: bool) -> None:
    """Let the Lightning command line get a signal, save or not, and end as it does then."""

    def lightning(args: list[str]) -> None:
        signal.raise_signal(number)
        if saves:
            last = Path(args[args.index("--run.dir") + 1]) / "checkpoints" / "last.ckpt"
            last.parent.mkdir(parents=True)
            last.touch()
        raise SystemExit(143)

    monkeypatch.setattr("mmpkd.cli.main", lightning)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR2])
def test_a_job_that_is_stopped_goes_back_into_the_queue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, requeued: Callable[[], bool], number: signal.Signals
) -> None:
    write_study(tmp_path)
    stop_in_the_middle(monkeypatch, number, saves=True)
    with pytest.raises(SystemExit):
        SlurmJob(runs(tmp_path)[0])()
    assert requeued()


def test_a_cancelled_job_does_not_come_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, requeued: Callable[[], bool]
) -> None:
    write_study(tmp_path)
    stop_in_the_middle(monkeypatch, signal.SIGTERM, saves=True)
    task = tmp_path / "slurm" / "7_2.json"
    task.write_text(task.read_text().replace("RUNNING", "COMPLETING"))
    with pytest.raises(SystemExit):
        SlurmJob(runs(tmp_path)[0])()
    assert not requeued()


def test_a_time_limit_that_is_too_short_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, requeued: Callable[[], bool]
) -> None:
    write_study(tmp_path)
    stop_in_the_middle(monkeypatch, signal.SIGUSR2, saves=False)
    with pytest.raises(RuntimeError, match="Raise `time`"):
        SlurmJob(runs(tmp_path)[0])()
    assert not requeued()
    assert "Raise `time`" in (tmp_path / "out" / "teacher" / "seed0" / "error.log").read_text()


def test_a_signal_between_training_and_test_is_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, requeued: Callable[[], bool]
) -> None:
    write_study(tmp_path)
    calls = []

    def lightning(args: list[str]) -> None:
        calls.append(args[0])
        folder = Path(args[args.index("--run.dir") + 1])
        (folder / "summary.json").write_text('{"status": "fitted"}')
        signal.raise_signal(signal.SIGTERM)  # Lightning does not listen any more

    monkeypatch.setattr("mmpkd.cli.main", lightning)
    with pytest.raises(SystemExit):
        SlurmJob(runs(tmp_path)[0])()
    assert calls == ["fit"]
    assert requeued()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "there is none"),
        ("partition: gpu", "`time: 240`"),
        ("- time", "`time: 240`"),
        ("time: 60\npartitoin: gpu", "partitoin"),
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


def test_a_machine_without_slurm_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "")
    write_study(tmp_path)
    (tmp_path / "cluster.yaml").write_text("time: 60")
    arguments = ["--out", str(tmp_path / "out"), "--slurm", str(tmp_path / "cluster.yaml")]
    assert main([str(tmp_path / "study.yaml"), *arguments]) == 2
    assert "found no sbatch, srun, squeue, scontrol" in capsys.readouterr().err
