"""Make one run: train, test, and leave in its folder how it ended."""

import logging
import time
import traceback
from collections.abc import Callable, Sequence

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
    start = time.monotonic()
    try:
        if run.trained is None:
            continue_fit(run, execute)
        execute(["test", *run.flags, "--ckpt_path", str(run.checkpoint)])
    except KeyboardInterrupt:
        raise
    except SystemExit as error:
        if error.code in (130, 143):
            raise  # the user or the cluster stopped the study, not the run
        return _record_failure(run, f"the command line ended with {error.code}")
    except Exception as error:
        return _record_failure(run, f"{type(error).__name__}: {error}")
    content = {
        "fingerprint": run_fingerprint(run),
        "seconds": round(time.monotonic() - start, 1),
        "flags": list(run.flags),
    }
    write_json(run.folder / DONE, content)
    (run.folder / _ERROR).unlink(missing_ok=True)
    return None


def _record_failure(run: Run, reason: str) -> str:
    run.folder.mkdir(parents=True, exist_ok=True)
    (run.folder / _ERROR).write_text(f"{reason}\n\n{traceback.format_exc()}")
    logger.error("%s failed: %s (see %s)", run.name, reason, run.folder / _ERROR)
    return reason


def continue_fit(run: Run, execute: Execute) -> None:
    """Train, from the last checkpoint if there is one; nothing if the training is complete. Settings are recorded first."""
    write_json(run.folder / STARTED, {"fingerprint": run_fingerprint(run)})
    last = run.folder / "checkpoints" / "last.ckpt"
    if status(run) not in ("fitted", "finished"):
        execute(["fit", *run.flags, *(("--ckpt_path", str(last)) if last.is_file() else ())])
