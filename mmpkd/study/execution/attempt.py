"""Make one run: train, test, and leave in its folder how it ended."""

import logging
import os
import time
import traceback
from contextlib import suppress

from mmpkd.records import StudyRecord
from mmpkd.study.execution.command import Execute, RunCommand, flags_of
from mmpkd.study.execution.fingerprint import run_fingerprint
from mmpkd.study.execution.run import Run

logger = logging.getLogger("mmpkd")


def attempt(run: Run, execute: Execute) -> str | None:
    """Make one run; return why it failed, or None.

    Args:
        run: The run.
        execute: Executes a command on the run.

    Raises:
        SystemExit: With 130 or 143 if the user or the cluster stopped the run.
    """
    start = time.monotonic()
    fingerprint = run_fingerprint(run)
    if is_first_task():
        forget_failure(run)
    try:
        if run.trained is None:
            continue_fit(run, execute)
        execute(RunCommand("test", run, fingerprint, run.checkpoint))
    except KeyboardInterrupt:
        raise
    except SystemExit as error:
        if error.code in (130, 143):
            raise  # the user or the cluster stopped the study, not the run
        return record_failure(run, f"the command line ended with {error.code}")
    except Exception as error:
        return record_failure(run, f"{type(error).__name__}: {error}")
    if is_first_task():
        seconds = round(time.monotonic() - start, 1)
        run.record.update(status="tested", study=StudyRecord(fingerprint, tuple(flags_of(run)), seconds))
    return None


def is_first_task() -> bool:
    """Return whether this is the task of a cluster's job that keeps the records; a distributed run has several tasks."""
    return os.environ.get("SLURM_PROCID", "0") == "0"


def failure(run: Run) -> str | None:
    """Return why the last attempt at a run failed, or None if it did not."""
    state = run.record.state
    return state.reason if state is not None and state.status == "failed" else None


def forget_failure(run: Run) -> None:
    """Remove what an earlier attempt left of its failure."""
    run.record.error_log.unlink(missing_ok=True)
    if failure(run) is not None:
        run.record.update(status="trained" if run.record.is_trained else "planned", reason=None)


def record_failure(run: Run, reason: str) -> str:
    """Write the reason and the exception at hand to the run's folder; of several tasks, the first to fail. Return the reason."""
    run.folder.mkdir(parents=True, exist_ok=True)
    path = run.record.error_log
    with suppress(FileExistsError), path.open("x") as file:
        file.write(f"{reason}\n\n{traceback.format_exc()}")
        run.record.update(status="failed", reason=reason)
    logger.error("%s failed: %s (see %s)", run.name, reason, path)
    return reason


def continue_fit(run: Run, execute: Execute) -> None:
    """Train, from the last checkpoint if there is one; nothing if the training is complete. Settings are recorded first."""
    fingerprint = run_fingerprint(run)
    if is_first_task():
        run.record.update(study=StudyRecord(fingerprint, tuple(flags_of(run))))
    if not run.record.is_trained:
        is_interrupted = run.record.last.is_file() or run.record.previous.is_file()
        execute(RunCommand("fit", run, fingerprint, run.record.last if is_interrupted else None))
