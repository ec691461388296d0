"""One run of a study inside a job of SLURM: how it stops in time, and when it goes back into the queue."""

import os
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import FrameType

from mmpkd.study.attempt import attempt, is_first_task, record_failure
from mmpkd.study.run import Run, status


@dataclass
class SlurmJob:
    """Makes a run, as a task of a job; submitit pickles it and calls it on the node.

    SLURM announces the time limit with SIGUSR2 and a preemption with SIGTERM. At either, Lightning ends the training between
    two steps and saves, and the job goes back into the queue, to go on from there. A job that was cancelled does not, and
    neither does one whose time limit came before it had saved anything new: it would go round for ever.

    Attributes:
        run: The run.
    """

    run: Run
    _signals: set[int] = field(default_factory=set)

    def __call__(self) -> None:
        """Make the run.

        Raises:
            RuntimeError: If it failed. SLURM then takes the job as failed, and stops the other tasks of a distributed run.
            SystemExit: If it was stopped.
        """
        os.environ.setdefault("OMP_NUM_THREADS", os.environ.get("SLURM_CPUS_PER_TASK", "1"))
        for name in (
            signal.SIGUSR2,
            signal.SIGTERM,
        ):  # Lightning calls the handler of SIGTERM that it finds after its own
            signal.signal(name, self._take_down)
        before = self._progress()
        try:
            reason = attempt(self.run, self._lightning)
        except SystemExit:
            reason = self._requeue(before)
            if reason is None:
                raise
        if reason is not None:
            raise RuntimeError(reason)

    def _take_down(self, signum: int, frame: FrameType | None) -> None:
        del frame
        self._signals.add(signum)
        if signum == signal.SIGUSR2:
            signal.raise_signal(signal.SIGTERM)

    def _lightning(self, args: Sequence[str]) -> None:
        from mmpkd.cli import main

        if self._signals:  # it came between training and test, where nobody listens
            raise SystemExit(143)
        main(args)

    def _progress(self) -> tuple[str | None, int]:
        last = self.run.folder / "checkpoints" / "last.ckpt"
        return status(self.run), last.stat().st_mtime_ns if last.is_file() else 0

    def _requeue(self, before: tuple[str | None, int]) -> str | None:
        """Put the job back into the queue if that is for the job to do; return why the run failed, or None."""
        if not is_first_task():
            signal.pause()  # the first task decides for all, and what it decides ends this one
        if signal.SIGUSR2 in self._signals and self._progress() == before:
            return record_failure(
                self.run, "the job's time limit came before anything new was saved. Raise `time` in the --slurm file."
            )
        job = os.environ["SLURM_JOB_ID"]
        if "SLURM_ARRAY_JOB_ID" in os.environ:
            job = f"{os.environ['SLURM_ARRAY_JOB_ID']}_{os.environ['SLURM_ARRAY_TASK_ID']}"
        query = ["squeue", "--noheader", "--states=all", "--format=%T", "--jobs", job]
        state = subprocess.run(query, capture_output=True, text=True, check=True).stdout.strip()
        # a job that is cancelled, or that SLURM itself puts back, is COMPLETING by now
        if state in ("RUNNING", "SIGNALING"):
            subprocess.run(["scontrol", "requeue", job], check=True)
        return None
