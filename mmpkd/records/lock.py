"""A lock that allows one training at a time in a run's folder."""

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

logger = logging.getLogger("mmpkd")
SECONDS_TO_WAIT = 15.0  # loader processes keep the lock for up to five seconds after their training was killed


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Create a folder and lock it against a second training.

    Raises:
        RuntimeError: If another process has the lock and does not release it within 15 seconds.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if sys.platform == "win32":
        yield  # Windows has no flock
        return
    with (folder / ".lock").open("w", encoding="utf-8") as file:
        try:
            hold(file, SECONDS_TO_WAIT)
        except BlockingIOError as error:
            raise RuntimeError(
                f"Expected no other training in '{folder}' but one is running. Wait for it, or use another --run.dir."
            ) from error
        except OSError as error:
            logger.warning("'%s' has no file locks (%s): do not start a second training in it.", folder, error)
        yield


def hold(file: IO[str] | int, seconds: float = 0.0) -> None:
    """Lock a file until this process, and all processes that inherit the file, have closed it.

    Args:
        file: The open file, or its descriptor.
        seconds: Time to wait for another process to release the lock.

    Raises:
        BlockingIOError: If another process has the lock.
        OSError: If the file system has no locks.
    """
    # does not exist on Windows
    import fcntl

    end = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= end:
                raise
            # `flock` itself waits either forever or not at all
            time.sleep(0.2)
        else:
            return
