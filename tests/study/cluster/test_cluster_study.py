"""Studies on a cluster: in a stand-in for SLURM, and in the real one where its packages are installed."""

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from tests.forked import finish
from tests.study.cluster import fake_slurm
from tests.study.cluster.single_node_slurm import single_node_slurm
from tests.study.cluster.stand_in import on_path
from tests.study.tiny_study import check_same_report, check_two_processes, start_study, write_tiny_study


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


def write_cluster_study(folder: Path, tiny_root: Path, **options: int) -> list[str]:
    """Write a tiny study and the options of its jobs; return the arguments that choose the cluster."""
    write_tiny_study(folder, tiny_root, **options)
    (folder / "cluster.yaml").write_text("time: 30\ncpus_per_task: 1\n")
    return ["--slurm", str(folder / "cluster.yaml")]


def job_of(folder: Path, run: str) -> dict[str, str]:
    content: dict[str, str] = json.loads((folder / "out" / run / "job.json").read_text())
    return content


@pytest.mark.slow
def test_a_study_on_a_cluster_survives_preemption_and_its_own_death(
    tiny_root: Path, undisturbed: Path, tmp_path: Path, preempt: Callable[[str], object]
) -> None:
    """Its report is that of an undisturbed study on this machine; runs that can start together are one array."""
    cluster = write_cluster_study(tmp_path, tiny_root)
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
    check_same_report(undisturbed, tmp_path / "out")


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
