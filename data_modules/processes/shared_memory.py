"""Memory that `multiprocessing` shares with the processes it starts, reserved before it is used."""

import os
import sys
from multiprocessing.heap import Arena
from pathlib import Path


def reserve_memory(size: int, what: str, otherwise: str = "", file: Path | None = None) -> Arena:
    """Return memory of so many bytes, zero where nothing was written, that can be shared with a new process.

    It is shared memory if there is room, otherwise a temporary file (`TMPDIR`).

    Args:
        size: Bytes, at least 1.
        what: What it is for, for the message.
        otherwise: What else the user can do if there is no room, for the message.
        file: A file to use instead; what another process has written to it stays.

    Raises:
        OSError: If there is not enough room.
    """
    message = (
        f"Expected room for {size / 1e9:.1f} GB of {what} in shared memory or in the folder for temporary files but there "
        f"is less. Set TMPDIR to a folder with more room{otherwise}."
    )
    try:
        memory = Arena(size) if file is None else Arena(size, _opened(file, size))
    except OSError as error:
        raise OSError(message) from error
    if sys.platform != "win32":
        # writing to memory without room kills the process without a message, so look for room now
        room = os.fstatvfs(memory.fd)
        taken = os.fstat(memory.fd).st_blocks * 512  # of a file that other runs have written to
        if room.f_bavail * room.f_frsize < size - taken:
            raise OSError(message)
    return memory


def _opened(file: Path, size: int) -> int:
    """Return the descriptor of a file of as many bytes; it stays open as long as this process."""
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
    os.ftruncate(descriptor, size)  # what another process has written stays
    return descriptor
