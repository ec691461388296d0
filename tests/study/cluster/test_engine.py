"""How a study submits jobs and waits for them, without jobs that run."""

import json
import os
import threading
import time
from pathlib import Path

import pytest

from mmpkd.commands.processes.run import run_lightning
from mmpkd.commands.study import main
from mmpkd.study.execution.planned_runs import plan_runs
from mmpkd.study.execution.run import EndedRun
from mmpkd.study.execution.slurm.engine import Slurm, check_not_queued
from mmpkd.study.execution.slurm.queue import load_parameters, outside_jobs, slurm_executor
from mmpkd.study.plan.errors import StudyError
from mmpkd.study.plan.plan_file import load_plan
from tests.study.cluster.stand_in import on_path, write_done
from tests.study.synthetic import planned, write_study


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


def test_a_study_that_starts_again_waits_for_its_jobs(tmp_path: Path, held: Path) -> None:
    first, second = planned(tmp_path)[:2]
    engine(tmp_path).start([first, second])
    submitted = names(held)
    again = engine(tmp_path)
    again.start([first, second])
    assert names(held) == submitted
    assert len(set(submitted)) == 1
    write_done(second)
    assert again.wait() == [EndedRun(second, None)]


def test_a_run_that_a_job_finished_in_the_meantime_is_not_submitted_again(tmp_path: Path, held: Path) -> None:
    run = planned(tmp_path)[0]
    write_done(run)
    jobs = engine(tmp_path)
    jobs.start([run])
    assert names(held) == []
    assert jobs.wait() == [EndedRun(run, None)]


def test_jobs_do_not_inherit_the_job_that_a_study_runs_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    monkeypatch.setenv("SLURM_CONF", "/somewhere/slurm.conf")
    with outside_jobs():
        assert "SLURM_ARRAY_TASK_ID" not in os.environ
        assert os.environ["SLURM_CONF"] == "/somewhere/slurm.conf"
    assert os.environ["SLURM_ARRAY_TASK_ID"] == "3"


def test_a_job_with_other_settings_in_the_queue_is_refused(tmp_path: Path, held: Path) -> None:
    engine(tmp_path).start(planned(tmp_path)[:1])
    plan = load_plan(tmp_path / "study.yaml")
    changed = plan_runs(plan, tmp_path / "out", plan.seeds, ("--trainer.max_epochs=2",))
    with pytest.raises(StudyError, match=f"scancel --name={names(held)[0]}"):
        engine(tmp_path).start(changed[:1])


def test_what_was_submitted_halfway_is_submitted_again(tmp_path: Path, held: Path) -> None:
    run = planned(tmp_path)[0]
    engine(tmp_path).start([run])
    old = names(held)
    job = json.loads((run.folder / "job.json").read_text())
    del job["id"]  # as a kill in the middle of sbatch leaves it
    (run.folder / "job.json").write_text(json.dumps(job))
    engine(tmp_path).start([run])
    assert len(names(held)) == 1
    assert names(held) != old


def test_a_job_is_lost_after_some_patience_only(tmp_path: Path, held: Path) -> None:
    first, second = planned(tmp_path)[:2]
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
    engine(tmp_path).start(planned(tmp_path)[:1])
    assert main([str(tmp_path / "study.yaml"), "--out", str(tmp_path / "out")]) == 2
    assert f"scancel --name={names(held)[0]}" in capsys.readouterr().err
    next(held.glob("[0-9]*.json")).unlink()
    check_not_queued(planned(tmp_path))


@pytest.mark.slow
def test_the_reason_of_a_failed_job_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    on_path(tmp_path, monkeypatch)
    write_study(tmp_path)  # with configurations that no run can start from
    run = planned(tmp_path)[0]
    own = engine(tmp_path, patience=60)
    own.start([run])
    assert own.wait() == [EndedRun(run, "the command line ended with 2")]
    assert "teacher (seed 0) failed: the command line ended with 2" in caplog.text


def test_a_controller_that_is_away_is_waited_for(tmp_path: Path, held: Path, caplog: pytest.LogCaptureFixture) -> None:
    run = planned(tmp_path)[0]
    own = engine(tmp_path)
    (held / "squeue.fails").write_text("2")
    (held / "sbatch.fails").write_text("2")
    own.start([run])
    assert len(names(held)) == 1
    assert caplog.text.count("Unable to contact slurm controller") == 4
    (held / "sbatch.fails").write_text("99")
    with pytest.raises(StudyError, match="sbatch to accept 1 jobs but it refused"):
        own.start(planned(tmp_path)[1:2])


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
    parameters = load_parameters(Path(__file__).parents[3] / "experiments" / "slurm.yaml")
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
