"""An engine that makes the runs of a study as SLURM jobs, through submitit."""

import logging
import time
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mmpkd.study.execution.attempt import failure, forget_failure
from mmpkd.study.execution.command import Execute
from mmpkd.study.execution.fingerprint import run_fingerprint
from mmpkd.study.execution.run import EndedRun, Run, is_finished
from mmpkd.study.execution.slurm.job import SlurmJob
from mmpkd.study.execution.slurm.job_record import JobKey, JobRecord, read_job, write_job
from mmpkd.study.execution.slurm.queue import Queued, cancel, is_there, outside_jobs, queued_jobs, slurm_executor
from mmpkd.study.plan.errors import StudyError

logger = logging.getLogger("mmpkd")


class Slurm:
    """Makes runs as SLURM jobs; runs that can start together form one job array.

    Jobs outlive the study that submitted them. A study that is started again finds its jobs in the queue and waits for them. The
    name of a job is written to `job.json` of its run before it is submitted, and its number afterwards. If a submission was
    interrupted in between, the job is cancelled and submitted again.

    Args:
        execute: Function of a module that executes a command on a run, within a job.
        folder: Folder for scripts and output of the jobs, on a file system that the nodes share.
        parameters: Options of sbatch, see `load_parameters`.
        name: Name of the study, which is part of the names of the jobs.
        num_jobs: Maximum number of runs at a time; None for no limit.
        poll: Seconds between queries of the queue; shortly after a change, it is queried more often.
        patience: Seconds after which a job that left the queue without a result counts as lost. Files on a shared file system
            can appear late.

    Raises:
        StudyError: If SLURM or submitit is missing, if SLURM does not respond, or if the options are not valid.
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
        self.num_jobs = num_jobs
        self._execute = execute
        self._folder = folder
        self._executor = slurm_executor(folder, parameters)
        self._minutes = int(parameters["time"])
        self._name = name
        self._poll = poll
        self._patience = patience
        self._running: list[Run] = []
        self._gone_since: dict[Path, float] = {}
        self._seen: Counter[str] = Counter()
        queued_jobs()  # fail now, before any work, if SLURM does not respond

    def start(self, runs: Sequence[Run]) -> None:
        """Submit runs as a job array, except those that have a job in the queue or were just finished by one.

        Raises:
            StudyError: If a job in the queue was submitted with other settings, or if sbatch refuses.
        """
        queue = self._queue()
        while any(_job_state(run, queue) == "COMPLETING" for run in runs):
            time.sleep(self._poll)  # it was cancelled or has just failed
            queue = self._queue()
        unfinished = [run for run in runs if not is_finished(run)]
        new = []
        for run in unfinished:
            job = read_job(run)
            if job is None or job.key not in queue:
                new.append(run)
            elif job.id is None:
                # the study was killed during the submission, perhaps before submitit left the job its task
                cancel(job.name)
                new.append(run)
            elif job.fingerprint != run_fingerprint(run):
                raise StudyError(
                    f"Expected the job of {run.name} in the queue to have the settings of the study but they changed since. "
                    f"Change them back, or cancel it: scancel --name={job.name}"
                )
        self._running += runs  # including runs that a job has just finished, so that `wait` reports them
        if len(new) < len(unfinished):
            logger.info("%d of them already have a job in the queue", len(unfinished) - len(new))
        if new:
            self._submit(new)

    def _submit(self, runs: Sequence[Run]) -> None:
        name = f"mmpkd-{self._name}-{uuid.uuid4().hex[:8]}"
        self._executor.update_parameters(job_name=name)
        jobs = [JobRecord(name, index, run_fingerprint(run)) for index, run in enumerate(runs)]
        for run, job in zip(runs, jobs, strict=True):
            write_job(run, job)
            forget_failure(run)
        numbers = self._sbatch(runs, name)
        for run, job, number in zip(runs, jobs, numbers, strict=True):
            write_job(run, replace(job, id=number))
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
                        f"Expected sbatch to accept {len(runs)} jobs but it refused: {error} If the number of jobs per user is "
                        "limited, --jobs N submits at most N at a time. Jobs that were submitted earlier continue."
                    ) from error
                logger.warning("sbatch: %s Trying again in %g s.", error, self._poll)
                cancel(name)  # it may have been accepted in spite of the error
                time.sleep(self._poll)

    def wait(self) -> list[EndedRun]:
        """Return the runs that ended, at least one."""
        pause = min(1.0, self._poll)
        while not (ended := self._look()):
            time.sleep(pause)
            pause = min(2 * pause, self._poll)
        return ended

    def _look(self) -> list[EndedRun]:
        # before any file: a job that ends in between has then left its result, and is not taken for lost
        queue = self._queue()
        now = time.monotonic()
        jobs = {run.folder: job for run in self._running if (job := read_job(run)) is not None}
        self._tell([queue[job.key] for job in jobs.values() if job.key in queue])
        tried = [self._end_of(run, jobs.get(run.folder), queue, now) for run in self._running]
        found = [ended for ended in tried if ended is not None]
        for ended in found:
            self._running.remove(ended.run)
            if ended.reason is not None:
                logger.error("%s failed: %s (its output is in %s)", ended.run.name, ended.reason, self._folder)
        return found

    def _end_of(self, run: Run, job: JobRecord | None, queue: Mapping[JobKey, Queued], now: float) -> EndedRun | None:
        """Return how a run ended, or None if it is still running or may be."""
        is_gone = job is None or job.key not in queue
        if is_gone:
            self._gone_since.setdefault(run.folder, now)
        else:
            self._gone_since.pop(run.folder, None)
        if is_finished(run):
            return EndedRun(run, None)
        if not is_gone:
            return None
        if reason := failure(run):
            return EndedRun(run, reason)
        is_lost = now - self._gone_since[run.folder] > self._patience
        return EndedRun(run, _how_it_vanished(job)) if is_lost else None

    def _tell(self, jobs: Sequence[Queued]) -> None:
        """Log how many jobs are pending (and why) or running, if that has changed."""
        seen = Counter(f"{job.state.lower()}{f' ({job.reason})' if job.state == 'PENDING' else ''}" for job in jobs)
        if seen != self._seen:
            logger.info("in the queue: %s", ", ".join(f"{seen[state]} {state}" for state in sorted(seen)) or "none")
            self._seen = seen

    def _queue(self) -> dict[JobKey, Queued]:
        """Return the jobs in the queue; retry while SLURM's controller does not respond."""
        while True:
            try:
                return queued_jobs()
            except StudyError as error:
                logger.warning("%s Trying again in %g s.", error, self._poll)
                time.sleep(self._poll)


def check_not_queued(runs: Sequence[Run]) -> None:
    """Check that no run has a job in the queue before the runs are made on this machine.

    Raises:
        StudyError: If a run has one.
    """
    if not is_there("squeue") or not any(run.record.job.is_file() for run in runs):
        return
    queue = queued_jobs()
    queued = [run for run in runs if _job_state(run, queue) is not None]
    if queued:
        job = read_job(queued[0])
        assert job is not None
        raise StudyError(
            f"Expected no run in the queue of a cluster but {len(queued)} are, for example {queued[0].name}. Wait for them with "
            f"--slurm, or cancel them: scancel --name={job.name}"
        )


def _how_it_vanished(job: JobRecord | None) -> str:
    number = None if job is None else job.id
    return (
        f"job {number} left the queue without a result (cancelled, out of memory or time, or a failed node); "
        "the same command submits it again"
    )


def _job_state(run: Run, queue: Mapping[JobKey, Queued]) -> str | None:
    job = read_job(run)
    return None if job is None or job.key not in queue else queue[job.key].state
