"""One training at a time in a run's folder."""

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

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
    with (folder / ".lock").open("w") as file:
        try:
            hold(file, SECONDS_TO_WAIT)
        except BlockingIOError as error:
            raise RuntimeError(
                f"Expected '{folder}' to be free but a training is running in it. Wait for it, or give another --run.dir."
            ) from error
        except OSError as error:
            logger.warning("'%s' has no file locks (%s): nothing keeps a second training out of it.", folder, error)
        yield


def hold(file: IO[str], seconds: float = 0.0) -> None:
    """Take the lock of a file until it is closed, by this process and those that inherit it.

    Args:
        file: The open file.
        seconds: How long to wait for another process to give it back.

    Raises:
        BlockingIOError: If another process has it.
        OSError: If the file system has no locks.
    """
    import fcntl

    end = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= end:
                raise
            time.sleep(0.2)
        else:
            return
