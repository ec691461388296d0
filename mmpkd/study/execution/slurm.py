"""The runs of a study as jobs of a cluster under SLURM, through submitit."""

import logging
import time
import uuid
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from data_modules.json_file import read_json, write_json
from mmpkd.study.execution.attempt import Execute, failure, forget_failure
from mmpkd.study.execution.run import Run, is_finished, run_fingerprint
from mmpkd.study.execution.slurm_job import SlurmJob
from mmpkd.study.execution.slurm_queue import Key, Queued, cancel, is_there, outside_jobs, queued_jobs, slurm_executor
from mmpkd.study.plan.study_plan import StudyError

logger = logging.getLogger("mmpkd")


class Slurm:
    """Runs as jobs: those that can start together are one array.

    Jobs outlive the study that submitted them. A study that starts again finds its jobs in the queue and waits for them. The
    name of a job is in `job.json` of its run before it is submitted, its number after; what was submitted halfway is cancelled
    and submitted again.

    Args:
        execute: The Lightning command line, which the jobs run.
        folder: Folder for scripts and what the jobs print, on a file system that the nodes share.
        parameters: Options of sbatch, see `load_parameters`.
        name: Name of the study, for the names of the jobs.
        num_jobs: Most runs at a time; None for no limit.
        poll: Seconds between looks at the queue; soon after something has changed it is looked at more often.
        patience: Seconds that a job must be gone without a result to count as lost; files on a shared file system appear late.

    Raises:
        StudyError: If SLURM or submitit is missing, SLURM does not answer, or the parameters are not those of sbatch.
    """

    def __init__(
        self,
        execute: Execute,
        folder: Path,
        parameters: dict[str, Any],
        name: str,
        num_jobs: int | None = None,
        poll: float = 10.0,
        patience: float = 120.0,
    ) -> None:
        self.num_jobs, self._name, self._poll, self._patience = num_jobs, name, poll, patience
        self._execute = execute
        self._executor, self._minutes = slurm_executor(folder, parameters), int(parameters["time"])
        self._folder, self._running = folder, list[Run]()
        self._gone_since, self._seen = dict[Path, float](), Counter[str]()
        queued_jobs()  # now, where a failure costs nothing

    def start(self, runs: Sequence[Run]) -> None:
        """Submit runs as an array, without those that have a job in the queue.

        Raises:
            StudyError: If a job in the queue was submitted with other settings, or sbatch refuses.
        """
        queue = self._queue()
        while any(_job_state(run, queue) == "COMPLETING" for run in runs):
            time.sleep(self._poll)  # it was cancelled or has just failed
            queue = self._queue()
        new = []
        for run in runs:
            job = _job(run)
            if job is None or _key(job) not in queue:
                new.append(run)
            elif "id" not in job:
                cancel(job["name"])
                new.append(run)
            elif job["fingerprint"] != run_fingerprint(run):
                raise StudyError(
                    f"Expected the job of {run.name} in the queue to have the settings of the study but they changed since. "
                    f"Change them back, or cancel it: scancel --name={job['name']}"
                )
        self._running += runs
        if len(new) < len(runs):
            logger.info("%d of them have a job in the queue already", len(runs) - len(new))
        if new:
            self._submit(new)

    def _submit(self, runs: Sequence[Run]) -> None:
        name = f"mmpkd-{self._name}-{uuid.uuid4().hex[:8]}"
        self._executor.update_parameters(job_name=name)
        records = [
            {"name": name, "index": index, "fingerprint": run_fingerprint(run)} for index, run in enumerate(runs)
        ]
        for run, record in zip(runs, records, strict=True):
            write_json(run.record.job, record)
            forget_failure(run)
        numbers = self._sbatch(runs, name)
        for run, record, number in zip(runs, records, numbers, strict=True):
            write_json(run.record.job, {**record, "id": number})
        logger.info("submitted as job %s (%s)", numbers[0].split("_")[0], name)

    def _sbatch(self, runs: Sequence[Run], name: str, tries: int = 5) -> list[str]:
        from submitit.core.utils import FailedJobError, FailedSubmissionError

        while True:
            try:
                with outside_jobs(), self._executor.batch():
                    jobs = [self._executor.submit(SlurmJob(run, self._minutes, self._execute)) for run in runs]
                return [job.job_id for job in jobs]
            except (FailedJobError, FailedSubmissionError) as error:
                tries -= 1
                if tries == 0:
                    raise StudyError(
                        f"Expected sbatch to take {len(runs)} jobs but it refused: {error} If there is a limit for the jobs of "
                        "a user, --jobs N keeps to N at a time. Jobs that were submitted before go on."
                    ) from error
                logger.warning("sbatch: %s Trying again in %g s.", error, self._poll)
                cancel(name)  # it may have been taken although it says otherwise
                time.sleep(self._poll)

    def wait(self) -> list[tuple[Run, str | None]]:
        """Return the runs that ended, at least one."""
        pause = min(1.0, self._poll)
        while not (ended := self._look()):
            time.sleep(pause)
            pause = min(2 * pause, self._poll)
        return ended

    def _look(self) -> list[tuple[Run, str | None]]:
        queue, now = self._queue(), time.monotonic()
        keys = {run.folder: _key(job) for run in self._running if (job := _job(run)) is not None}
        self._tell([queue[key] for key in keys.values() if key in queue])
        ended: list[tuple[Run, str | None]] = []
        for run in self._running:
            is_gone = keys.get(run.folder) not in queue
            if is_gone:
                self._gone_since.setdefault(run.folder, now)
            else:
                self._gone_since.pop(run.folder, None)
            if is_finished(run):
                ended.append((run, None))
            elif is_gone and (reason := failure(run)):
                ended.append((run, reason))
            elif is_gone and now - self._gone_since[run.folder] > self._patience:
                ended.append((run, self._how_it_vanished(run)))
        for run, why in ended:
            self._running.remove(run)
            if why is not None:
                logger.error("%s failed: %s (what it printed: %s)", run.name, why, self._folder)
        return ended

    def _tell(self, jobs: Sequence[Queued]) -> None:
        """Log how many jobs wait, and why, and how many run, if that has changed."""
        seen = Counter(f"{job.state.lower()}{f' ({job.reason})' if job.state == 'PENDING' else ''}" for job in jobs)
        if seen != self._seen:
            logger.info("in the queue: %s", ", ".join(f"{seen[state]} {state}" for state in sorted(seen)) or "none")
            self._seen = seen

    def _queue(self) -> dict[Key, Queued]:
        """Return the jobs in the queue, after a while if SLURM's controller is away."""
        while True:
            try:
                return queued_jobs()
            except StudyError as error:
                logger.warning("%s Looking again in %g s.", error, self._poll)
                time.sleep(self._poll)

    def _how_it_vanished(self, run: Run) -> str:
        job = _job(run) or {}
        return (
            f"job {job.get('id')} left the queue without a result (cancelled, out of memory or time, or a node that failed); "
            "the same command submits it again"
        )


def check_not_queued(runs: Sequence[Run]) -> None:
    """Check that no run has a job in the queue, before it is made here.

    Raises:
        StudyError: If one has.
    """
    if not is_there("squeue") or not any(run.record.job.is_file() for run in runs):
        return
    queue = queued_jobs()
    queued = [(run, job) for run in runs if (job := _job(run)) is not None and _key(job) in queue]
    if queued:
        run, job = queued[0]
        raise StudyError(
            f"Expected no run to be in a cluster's queue but {len(queued)} are, {run.name} for one. Wait for them with "
            f"--slurm, or cancel them: scancel --name={job['name']}"
        )


def _job(run: Run) -> dict[str, Any] | None:
    return read_json(run.record.job) if run.record.job.is_file() else None


def _key(job: dict[str, Any]) -> Key:
    return job["name"], str(job["index"])


def _job_state(run: Run, queue: dict[Key, Queued]) -> str | None:
    job = _job(run)
    return None if job is None or _key(job) not in queue else queue[_key(job)].state
