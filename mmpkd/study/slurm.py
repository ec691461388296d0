"""The runs of a study as jobs of a cluster under SLURM, through submitit."""

import json
import logging
import shutil
import subprocess
import time
import uuid
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from data_modules.json_file import write_json
from mmpkd.study.attempt import failure, forget_failure
from mmpkd.study.plan import StudyError
from mmpkd.study.run import Run, is_finished
from mmpkd.study.slurm_job import SlurmJob

logger = logging.getLogger("mmpkd")
JOB = "job.json"


class Slurm:
    """Runs as jobs: those that can start together are one array.

    Jobs outlive the study that submitted them. A study that starts again finds its jobs in the queue and waits for them; a
    run's `job.json` is written before its job is submitted, so that no moment of a kill leads to two jobs for one run.

    Args:
        folder: Folder for scripts and what the jobs print, on a file system that the nodes share.
        parameters: Options of sbatch, see `load_parameters`.
        name: Name of the study, for the names of the jobs.
        num_jobs: Most runs at a time; None for no limit.
        poll: Seconds between looks at the queue.

    Raises:
        StudyError: If SLURM or submitit is missing, SLURM does not answer, or the parameters are not those of sbatch.
    """

    def __init__(
        self, folder: Path, parameters: dict[str, Any], name: str, num_jobs: int | None = None, poll: float = 10.0
    ) -> None:
        self.num_jobs, self._name, self._poll = num_jobs, name, poll
        self._executor = _executor(folder, parameters)
        self._folder, self._running = folder, list[Run]()
        self._gone, self._seen = Counter[Path](), Counter[str]()
        queued_jobs()  # now, where a failure costs nothing

    def start(self, runs: Sequence[Run]) -> None:
        """Submit runs as an array, without those that have a job in the queue.

        Raises:
            StudyError: If sbatch refuses.
        """
        queue = self._queue()
        new = [run for run in runs if _job_of(run) not in queue]
        self._running += runs
        if new:
            self._submit(new)
        if len(new) < len(runs):
            logger.info("%d of them have a job in the queue already", len(runs) - len(new))

    def _submit(self, runs: Sequence[Run]) -> None:
        from submitit.core.utils import FailedJobError

        name = f"mmpkd-{self._name}-{uuid.uuid4().hex[:8]}"
        self._executor.update_parameters(job_name=name)
        for index, run in enumerate(runs):
            run.folder.mkdir(parents=True, exist_ok=True)
            write_json(run.folder / JOB, {"name": name, "index": index})
            forget_failure(run)
        try:
            with self._executor.batch():
                jobs = [self._executor.submit(SlurmJob(run)) for run in runs]
        except FailedJobError as error:
            raise StudyError(
                f"Expected sbatch to take {len(runs)} jobs but it refused: {error} If there is a limit for the jobs of a user, "
                "--jobs N keeps to N at a time. Jobs that were submitted before go on."
            ) from error
        for index, (run, job) in enumerate(zip(runs, jobs, strict=True)):
            write_json(run.folder / JOB, {"name": name, "index": index, "id": job.job_id})
        logger.info("submitted as job %s (%s)", jobs[0].job_id.split("_")[0], name)

    def wait(self) -> list[tuple[Run, str | None]]:
        """Return the runs that ended, at least one."""
        while True:
            ended = self._look()
            if ended:
                return ended
            time.sleep(self._poll)

    def _look(self) -> list[tuple[Run, str | None]]:
        queue = self._queue()
        seen = Counter(state for job, state in queue.items() if job in {_job_of(run) for run in self._running})
        if seen != self._seen:
            logger.info(
                "in the queue: %s", ", ".join(f"{seen[state]} {state.lower()}" for state in sorted(seen)) or "none"
            )
            self._seen = seen
        ended: list[tuple[Run, str | None]] = []
        for run in self._running:
            is_gone = _job_of(run) not in queue
            self._gone[run.folder] = self._gone[run.folder] + 1 if is_gone else 0
            if is_finished(run):
                ended.append((run, None))
            elif is_gone and (reason := failure(run)):
                ended.append((run, reason))
            elif self._gone[run.folder] > _PATIENCE:
                ended.append((run, self._how_it_vanished(run)))
        for run, _ in ended:
            self._running.remove(run)
        return ended

    def _queue(self) -> dict[tuple[str, str], str]:
        """Return the jobs in the queue, after a while if SLURM's controller is away."""
        while True:
            try:
                return queued_jobs()
            except StudyError as error:
                logger.warning("%s Looking again in %g s.", error, self._poll)
                time.sleep(self._poll)

    def _how_it_vanished(self, run: Run) -> str:
        job = json.loads((run.folder / JOB).read_text())
        return (
            f"job {job.get('id', job['name'])} left the queue without a result (cancelled, out of memory or time, or a node that "
            f"failed); what it printed is in {self._folder}. The same command submits it again"
        )


# A run counts as ended without a result if its job was not in the queue for more than so many looks in a row: files on a
# shared file system may appear late.
_PATIENCE = 3


def load_parameters(path: Path) -> dict[str, Any]:
    """Return the options of sbatch from a YAML file, such as `time: 240`, `partition: gpu`, `gpus_per_node: 1`, `mem: 32GB`.

    They are those of submitit's SlurmExecutor: options of sbatch with underscores; `setup` (list of shell commands),
    `signal_delay_s` (seconds from the warning to the time limit) and `additional_parameters` (other options) besides.

    Raises:
        StudyError: If the file is missing, is not a mapping, or sets no time limit in minutes.
    """
    if not path.is_file():
        raise StudyError(f"Expected a YAML file with options of sbatch at {path} but there is none.")
    parameters = yaml.safe_load(path.read_text())
    if not isinstance(parameters, dict) or not isinstance(parameters.get("time"), int):
        raise StudyError(
            f"Expected {path} to hold options of sbatch, among them the time limit of a job in minutes, such as "
            f"`time: 240`, but found {parameters!r}."
        )
    return parameters


def _executor(folder: Path, parameters: dict[str, Any]) -> Any:
    try:
        import submitit
    except ModuleNotFoundError as error:
        raise StudyError('Expected submitit for --slurm but it is missing: pip install "mmpkd[slurm]".') from error
    missing = [command for command in ("sbatch", "srun", "squeue", "scontrol") if shutil.which(command) is None]
    if missing:
        raise StudyError(
            f"Expected SLURM's commands on this machine but found no {', '.join(missing)}. "
            "Start the study on a login node of the cluster."
        )
    executor = submitit.SlurmExecutor(folder=folder.resolve())
    own = {"srun_args": ["--kill-on-bad-exit=1"], "stderr_to_stdout": True}
    additional = {"requeue": True, **parameters.get("additional_parameters", {})}
    try:
        executor.update_parameters(**{**own, **parameters, "additional_parameters": additional})
    except (ValueError, TypeError) as error:
        raise StudyError(f"Expected options of sbatch in the --slurm file but: {error}") from error
    return executor


def queued_jobs() -> dict[tuple[str, str], str]:
    """Return the states of this user's jobs that wait, run or end, by name and index in their array.

    Raises:
        StudyError: If squeue fails.
    """
    query = ["squeue", "--me", "--array", "--noheader", "--format=%j|%K|%T"]
    answer = subprocess.run(query, capture_output=True, text=True, check=False)
    if answer.returncode != 0:
        raise StudyError(f"Expected squeue to tell the jobs in the queue but it failed: {answer.stderr.strip()}.")
    jobs = {}
    for line in answer.stdout.splitlines():
        name, index, state = line.rsplit("|", 2)
        jobs[name, index if index.isdigit() else "0"] = state
    return jobs


def check_not_queued(runs: Sequence[Run]) -> None:
    """Check that no run has a job in the queue, before it is made here.

    Raises:
        StudyError: If one has.
    """
    if shutil.which("squeue") is None or not any((run.folder / JOB).is_file() for run in runs):
        return
    queue = queued_jobs()
    queued = [run for run in runs if _job_of(run) in queue]
    if queued:
        raise StudyError(
            f"Expected no run to be in a cluster's queue but {len(queued)} are, {queued[0].name} for one. Wait for them with "
            f"--slurm, or cancel them: scancel --name={json.loads((queued[0].folder / JOB).read_text())['name']}"
        )


def _job_of(run: Run) -> tuple[str, str] | None:
    path = run.folder / JOB
    if not path.is_file():
        return None
    job = json.loads(path.read_text())
    return job["name"], str(job["index"])
