"""The record of the SLURM job that makes a run: `job.json` in the run's folder."""

from dataclasses import asdict, dataclass

from data_modules.files.json_file import read_json, write_json
from mmpkd.study.execution.run import Run


@dataclass(frozen=True)
class JobKey:
    """Name and index that identify a job in SLURM's queue.

    Attributes:
        name: Name of the job.
        index: Index in its array.
    """

    name: str
    index: int


@dataclass(frozen=True)
class JobRecord:
    """A job that was submitted or is about to be.

    Attributes:
        name: Name of the job.
        index: Index in its array.
        fingerprint: Fingerprint of the run's settings at submission.
        id: SLURM's number. None before the submission, and for good if the study was killed during it.
    """

    name: str
    index: int
    fingerprint: str
    id: str | None = None

    @property
    def key(self) -> JobKey:
        """Name and index of the job in the queue."""
        return JobKey(self.name, self.index)


def read_job(run: Run) -> JobRecord | None:
    """Read the job of a run; None if it never had one."""
    return JobRecord(**read_json(run.record.job)) if run.record.job.is_file() else None


def write_job(run: Run, job: JobRecord) -> None:
    """Write the job of a run into its folder."""
    write_json(run.record.job, asdict(job))
