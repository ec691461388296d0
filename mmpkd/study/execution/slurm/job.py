"""A run of a study inside a SLURM job, which stops before the time limit and requeues itself."""

import logging
import os
import signal
import subprocess
import time
from dataclasses import dataclass, field
from types import FrameType

from mmpkd.study.execution.attempt import attempt, failure, is_first_task, record_failure
from mmpkd.study.execution.command import Execute, RunCommand
from mmpkd.study.execution.fingerprint import check_unchanged
from mmpkd.study.execution.run import Run, is_finished
from mmpkd.study.execution.slurm.job_record import JobKey, read_job
from mmpkd.study.plan.errors import StudyError

logger = logging.getLogger("mmpkd")
_STOPPED = 143  # 128 + SIGTERM
_TRIES = 6


@dataclass
class SlurmJob:
    """Makes a run as a task of a job; submitit pickles it and calls it on the node.

    SLURM announces the time limit with SIGUSR2 and a preemption with SIGTERM. After either signal, Lightning stops the training
    between two steps and saves, and the job is requeued and resumes from there. A cancelled job is not requeued. Neither is a job
    that reached its time limit before it saved anything new, since it would be requeued forever.

    A job does nothing if the study has meanwhile submitted another one for the run, or if the run is finished.

    Attributes:
        run: The run.
        minutes: Time limit of the job in minutes.
        execute: Function of a module that executes a command on the run.
    """

    run: Run
    minutes: int
    execute: Execute
    _signals: list[int] = field(default_factory=list)
    _is_inside: bool = False

    def __call__(self) -> None:
        """Make the run.

        Raises:
            RuntimeError: If the run failed. SLURM then marks the job as failed and stops the other tasks of a distributed run.
            SystemExit: If the run was stopped.
        """
        if is_finished(self.run) or self._is_superseded():
            return
        # Lightning calls the handler of SIGTERM that was installed before its own
        for name in (signal.SIGUSR2, signal.SIGTERM):
            signal.signal(name, self._heed)
        start = time.monotonic()
        before = self._progress()
        try:
            reason = self._attempt()
        except SystemExit:
            # SIGUSR2 in the first half of the time announces a preemption, as some clusters do, not the limit
            is_late = self._signals[:1] == [signal.SIGUSR2] and time.monotonic() - start > self.minutes * 60 / 2
            reason = self._requeue(is_stuck=is_late and self._progress() == before)
            if reason is None:
                raise
        if reason is not None:
            raise RuntimeError(reason)

    def _is_superseded(self) -> bool:
        """Return whether the study abandoned this job, for example because it was killed during the submission."""
        job = read_job(self.run)
        if job is None:
            raise FileNotFoundError(f"Expected the job of {self.run.name} in {self.run.record.job} but there is none.")
        return job.key != JobKey(os.environ.get("SLURM_JOB_NAME", ""), int(os.environ.get("SLURM_ARRAY_TASK_ID", "0")))

    def _attempt(self) -> str | None:
        try:
            check_unchanged(self.run)
        except StudyError as error:
            return record_failure(self.run, str(error))
        return attempt(self.run, self._lightning)

    def _heed(self, signum: int, frame: FrameType | None) -> None:
        del frame
        self._signals.append(signum)
        # Lightning saves and stops on SIGTERM only
        if signum == signal.SIGUSR2:
            signal.raise_signal(signal.SIGTERM)
        elif self._is_inside and signal.getsignal(signal.SIGTERM) == self._heed:
            raise SystemExit(_STOPPED)  # Lightning ignores signals while it starts or ends

    def _lightning(self, command: RunCommand) -> None:
        if self._signals:  # the signal came between training and test
            raise SystemExit(_STOPPED)
        self._is_inside = True
        try:
            self.execute(command)
        except Exception as error:
            if not self._signals:
                raise
            # SLURM also signals the workers of a data loader, and other ranks may be gone already
            logger.warning("stopped by a signal, with %s: %s", type(error).__name__, error)
            raise SystemExit(_STOPPED) from error
        finally:
            self._is_inside = False

    def _progress(self) -> tuple[bool, int]:
        last = self.run.record.last
        return self.run.record.is_trained, last.stat().st_mtime_ns if last.is_file() else 0

    def _requeue(self, is_stuck: bool) -> str | None:
        """Requeue the job if it should be, and return why the run failed, or None."""
        while not is_first_task():
            signal.pause()  # the first task decides for all tasks; SLURM then ends this one
        if is_stuck:
            return record_failure(
                self.run, "the job's time limit came before anything new was saved. Raise `time` in the --slurm file."
            )
        if reason := failure(self.run):  # another task failed, so SLURM stops this one
            return reason
        job = os.environ["SLURM_JOB_ID"]
        if "SLURM_ARRAY_JOB_ID" in os.environ:
            job = f"{os.environ['SLURM_ARRAY_JOB_ID']}_{os.environ['SLURM_ARRAY_TASK_ID']}"
        for _ in range(_TRIES):
            answer = _ask("squeue", "--noheader", "--states=all", "--format=%T", "--jobs", job)
            # a job that was cancelled, or that SLURM itself requeues, is COMPLETING by now
            if answer.returncode == 0 and answer.stdout.strip() not in ("RUNNING", "SIGNALING"):
                return None
            if answer.returncode == 0:
                answer = _ask("scontrol", "requeue", job)
                if answer.returncode == 0:
                    return None
            time.sleep(5)
        return record_failure(self.run, f"the job was stopped and could not be requeued: {answer.stderr.strip()}")


def _ask(*command: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command, capture_output=True, text=True, check=False)
