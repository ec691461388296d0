"""The job of a cluster that makes a run, as `job.json` in the run's folder says it."""

from dataclasses import asdict, dataclass

from data_modules.files.json_file import read_json, write_json
from mmpkd.study.execution.run import Run


@dataclass(frozen=True)
class JobKey:
    """The name and index under which SLURM's queue lists a job.

    Attributes:
        name: Name of the job.
        index: Index in its array.
    """

    name: str
    index: int


@dataclass(frozen=True)
class JobRecord:
    """A job that is submitted, or about to be.

    Attributes:
        name: Name of the job.
        index: Index in its array.
        fingerprint: Settings of the run when it was submitted.
        id: SLURM's number; None before it is submitted, and for ever if the study was killed meanwhile.
    """

    name: str
    index: int
    fingerprint: str
    id: str | None = None

    @property
    def key(self) -> JobKey:
        """Its name and index in the queue."""
        return JobKey(self.name, self.index)


def read_job(run: Run) -> JobRecord | None:
    """Return the job of a run, or None if it never had one."""
    return JobRecord(**read_json(run.record.job)) if run.record.job.is_file() else None


def write_job(run: Run, job: JobRecord) -> None:
    """Write the job into the run's folder."""
    write_json(run.record.job, asdict(job))
