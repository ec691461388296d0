"""Make a run: train, test, and record in its folder how it ended."""

import logging
import os
import time
import traceback
from contextlib import suppress

from mmpkd.cli.error_lines import reason_of
from mmpkd.records import StudyRecord
from mmpkd.study.execution.command import Execute, RunCommand, flags_of
from mmpkd.study.execution.fingerprint import run_fingerprint
from mmpkd.study.execution.run import Run

logger = logging.getLogger("mmpkd")


def attempt(run: Run, execute: Execute) -> str | None:
    """Make a run, and return why it failed, or None.

    Args:
        run: The run.
        execute: Function that executes a command on the run.

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
            # with maps and their faithfulness, a test can take as long as the training
            logger.info("%s: testing", run.name)
        execute(RunCommand("test", run, fingerprint, run.checkpoint))
    except SystemExit as error:
        if error.code in (130, 143):
            raise  # the user or the cluster stopped the study, not the run
        return record_failure(run, f"the command line ended with {error.code}")
    except ChildProcessError as error:
        return record_failure(run, str(error))
    except Exception as error:
        return record_failure(run, reason_of(error))
    if is_first_task():
        seconds = round(time.monotonic() - start, 1)
        run.record.update(status="tested", study=StudyRecord(fingerprint, tuple(flags_of(run)), seconds))
    return None


def is_first_task() -> bool:
    """Return whether this is the task that keeps the records; a distributed run on a cluster has several tasks."""
    return os.environ.get("SLURM_PROCID", "0") == "0"


def failure(run: Run) -> str | None:
    """Return why the last attempt at a run failed, or None if it did not fail."""
    state = run.record.state
    return state.reason if state is not None and state.status == "failed" else None


def forget_failure(run: Run) -> None:
    """Remove the record of an earlier failure."""
    run.record.error_log.unlink(missing_ok=True)
    if failure(run) is not None:
        run.record.update(status="trained" if run.record.is_trained else "planned", reason=None)


def record_failure(run: Run, reason: str) -> str:
    """Write the reason and the current exception to the run's folder, and return the reason; the first task to fail wins."""
    run.folder.mkdir(parents=True, exist_ok=True)
    path = run.record.error_log
    # `x` fails if the file exists, in one step, so only one task gets to write
    with suppress(FileExistsError), path.open("x", encoding="utf-8") as file:
        file.write(f"{reason}\n\n{traceback.format_exc()}")
        run.record.update(status="failed", reason=reason)
    logger.error("%s failed: %s (see %s)", run.name, reason, path)
    return reason


def continue_fit(run: Run, execute: Execute) -> None:
    """Train, or resume from the last checkpoint if there is one; do nothing if the training is complete.

    Settings are recorded first, so that a later start can tell whether they changed.
    """
    fingerprint = run_fingerprint(run)
    if is_first_task():
        run.record.update(study=StudyRecord(fingerprint, tuple(flags_of(run))))
    if not run.record.is_trained:
        execute(RunCommand("fit", run, fingerprint, run.record.last if run.record.can_resume else None))
