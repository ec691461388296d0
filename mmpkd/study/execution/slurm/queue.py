"""Options of SLURM jobs, and SLURM's queue."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_modules.files.yaml_file import read_yaml
from mmpkd.study.execution.slurm.job_record import JobKey
from mmpkd.study.plan.errors import StudyError


@dataclass(frozen=True)
class Queued:
    """A job in the queue.

    Attributes:
        state: State of the job, such as PENDING.
        reason: SLURM's reason for that state.
    """

    state: str
    reason: str


def load_parameters(path: Path) -> dict[str, Any]:
    """Return the options of sbatch from a YAML file, such as `time: 240`, `partition: gpu`, `gpus_per_node: 1`, `mem: 32GB`.

    They are the parameters of submitit's SlurmExecutor: options of sbatch with underscores, and also `setup` (list of shell
    commands), `signal_delay_s` (seconds from the warning to the time limit) and `additional_parameters` (other options).

    Raises:
        StudyError: If the file is missing, is not a mapping, or sets no time limit in minutes.
    """
    if not path.is_file():
        raise StudyError(f"Expected a YAML file with options of sbatch at {path} but there is none.")
    parameters = read_yaml(path)
    if not isinstance(parameters, dict) or type(parameters.get("time")) is not int:
        raise StudyError(
            f"Expected {path} to hold options of sbatch, including the time limit of a job in minutes, such as "
            f"`time: 240`, but found {parameters!r}."
        )
    return parameters


def slurm_executor(folder: Path, parameters: dict[str, Any]) -> Any:
    """Return submitit's executor.

    Raises:
        StudyError: If submitit or a command of SLURM is missing, or an option is unknown.
    """
    try:
        import submitit
    except ModuleNotFoundError as error:
        raise StudyError('Expected submitit for --slurm but it is missing: pip install "mmpkd[slurm]".') from error
    missing = [command for command in ("sbatch", "srun", "squeue", "scontrol", "scancel") if not is_there(command)]
    if missing:
        raise StudyError(
            f"Expected SLURM's commands on this machine but found no {', '.join(missing)}. "
            "Start the study on a login node of the cluster."
        )
    # otherwise the other tasks of a distributed run wait forever for one that failed
    srun = ["--kill-on-bad-exit=1", *parameters.get("srun_args", [])]
    if "cpus_per_task" in parameters:
        srun.append(
            f"--cpus-per-task={parameters['cpus_per_task']}"
        )  # since SLURM 22.05, srun does not inherit it from sbatch
    try:
        executor = submitit.SlurmExecutor(folder=folder.resolve())
        # without it, SLURM may refuse `scontrol requeue`
        additional = {"requeue": True, **parameters.get("additional_parameters", {})}
        own = {"srun_args": srun, "additional_parameters": additional}
        executor.update_parameters(**{"stderr_to_stdout": True, **parameters, **own})
    except (ValueError, TypeError) as error:
        raise StudyError(f"Expected options of sbatch in the --slurm file but: {error}") from error
    return executor


def queued_jobs() -> dict[JobKey, Queued]:
    """Return the user's jobs that are pending, running or completing.

    Raises:
        StudyError: If squeue fails.
    """
    # SQUEUE_* variables of the user could hide jobs
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SQUEUE_")}
    query = ["squeue", "--me", "--all", "--array", "--noheader", "--format=%j|%K|%T|%r"]
    answer = subprocess.run(query, capture_output=True, text=True, check=False, env=environment)
    if answer.returncode != 0:
        raise StudyError(f"Expected squeue to list the jobs in the queue but it failed: {answer.stderr.strip()}.")
    jobs = {}
    for line in answer.stdout.splitlines():
        # from the right, because the name of another job may contain |
        parts = line.rsplit("|", 3)
        if len(parts) == 4:  # other lines are headings
            name, index, state, reason = parts
            # the index of a job outside an array is N/A
            jobs[JobKey(name, int(index) if index.isdigit() else 0)] = Queued(state, reason)
    return jobs


@contextmanager
def outside_jobs() -> Iterator[None]:
    """Hide SLURM's variables about the current job, which jobs submitted from within it would otherwise inherit."""
    from submitit.helpers import clean_env

    # the location of SLURM's configuration is the same outside of jobs
    kept = {name: value for name, value in os.environ.items() if name == "SLURM_CONF"}
    with clean_env():
        os.environ.update(kept)
        yield


def cancel(name: str) -> None:
    """Cancel all jobs with a name."""
    subprocess.run(["scancel", f"--name={name}"], check=False)


def is_there(command: str) -> bool:
    """Return whether a command is on the path."""
    return shutil.which(command) is not None
