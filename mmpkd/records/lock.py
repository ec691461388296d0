"""One training at a time in a run's folder."""

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

logger = logging.getLogger("mmpkd")
SECONDS_TO_WAIT = 15.0  # processes that load data notice within five seconds that their training was killed


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep a second training out of a folder, which is made.

    Raises:
        RuntimeError: If another process has the lock, and does not give it back within some seconds.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if sys.platform == "win32":
        yield  # it has no flock
        return
    import fcntl

    with (folder / ".lock").open("w") as file:
        end = time.monotonic() + SECONDS_TO_WAIT
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                if time.monotonic() > end:
                    raise RuntimeError(
                        f"Expected '{folder}' to be free but a training is running in it. Wait for it, or give another --run.dir."
                    ) from error
                time.sleep(0.2)
            except OSError as error:
                logger.warning("'%s' has no file locks (%s): nothing keeps a second training out of it.", folder, error)
                break
            else:
                break
        yield
