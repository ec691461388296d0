"""Make one run: train, test, and leave in its folder how it ended."""

import logging
import os
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress

from data_modules.json_file import write_json
from mmpkd.study.run import DONE, STARTED, Run, run_fingerprint, status

logger = logging.getLogger("mmpkd")
Execute = Callable[[Sequence[str]], None]
_ERROR = "error.log"


def attempt(run: Run, execute: Execute) -> str | None:
    """Make one run; return why it failed, or None.

    Args:
        run: The run.
        execute: The Lightning command line.

    Raises:
        SystemExit: With 130 or 143 if the user or the cluster stopped the run.
    """
    start, fingerprint = time.monotonic(), run_fingerprint(run)
    if is_first_task():
        forget_failure(run)
    try:
        if run.trained is None:
            continue_fit(run, execute)
        execute(["test", *run.flags, "--ckpt_path", str(run.checkpoint)])
    except KeyboardInterrupt:
        raise
    except SystemExit as error:
        if error.code in (130, 143):
            raise  # the user or the cluster stopped the study, not the run
        return record_failure(run, f"the command line ended with {error.code}")
    except Exception as error:
        return record_failure(run, f"{type(error).__name__}: {error}")
    if not is_first_task():
        return None
    content = {
        "fingerprint": fingerprint,
        "seconds": round(time.monotonic() - start, 1),
        "flags": list(run.flags),
    }
    write_json(run.folder / DONE, content)
    return None


def is_first_task() -> bool:
    """Return whether this is the task of a cluster's job that keeps the records; a distributed run has several tasks."""
    return os.environ.get("SLURM_PROCID", "0") == "0"


def failure(run: Run) -> str | None:
    """Return why the last attempt at a run failed, or None if it did not."""
    path = run.folder / _ERROR
    return path.read_text().split("\n\n", 1)[0] if path.is_file() else None


def forget_failure(run: Run) -> None:
    """Remove what an earlier attempt left of its failure."""
    (run.folder / _ERROR).unlink(missing_ok=True)


def record_failure(run: Run, reason: str) -> str:
    """Write the reason and the exception at hand to the run's folder; of several tasks, the first to fail. Return the reason."""
    run.folder.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError), (run.folder / _ERROR).open("x") as file:
        file.write(f"{reason}\n\n{traceback.format_exc()}")
    logger.error("%s failed: %s (see %s)", run.name, reason, run.folder / _ERROR)
    return reason


def continue_fit(run: Run, execute: Execute) -> None:
    """Train, from the last checkpoint if there is one; nothing if the training is complete. Settings are recorded first."""
    if is_first_task():
        write_json(run.folder / STARTED, {"fingerprint": run_fingerprint(run)})
    last = run.folder / "checkpoints" / "last.ckpt"
    if status(run) not in ("fitted", "finished"):
        execute(["fit", *run.flags, *(("--ckpt_path", str(last)) if last.is_file() else ())])
