"""Arrays that processes share: each is written once, by whichever process is first, and read by all.

Loader processes share the arrays of the process that started them; the runs of a study share those that have a name.
"""

import os
import sys
from collections.abc import Callable, Sequence
from multiprocessing.context import get_spawning_popen
from multiprocessing.heap import Arena
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

# environment variable: folder of what the runs of a study share
FOLDER = "MMPKD_SHARED_IMAGES"


class SharedCache:
    """Entries of known sizes in memory that all processes see which were started with this object, however they were.

    The memory is reserved at once and taken up as entries are written: in shared memory where there is room, otherwise in a
    temporary file (`TMPDIR`). An entry is served only after all of its bytes are there: a process that dies while it
    writes leaves no entry. Two processes may write the same entry at a time, with the same bytes.

    Args:
        sizes: Bytes of each entry; one of 0 bytes is always there.
        name: What the entries are, so that equal names mean equal bytes: processes of one study share them then, in a file of the
            folder that `MMPKD_SHARED_IMAGES` names. None, or no such folder: only processes that get this object do.

    Raises:
        OSError: If there is not enough room.
    """

    def __init__(self, sizes: Sequence[int] | NDArray[np.int64], name: str | None = None) -> None:
        self._start = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])
        folder = os.environ.get(FOLDER)
        file = Path(folder) / name if folder and name else None
        self._attach(_reserve(max(int(self._start[-1]) + len(sizes), 1), file))
        self._written[np.diff(self._start) == 0] = 1

    def _attach(self, memory: Arena) -> None:
        self._memory = memory
        count = len(self._start) - 1
        self._bytes = np.frombuffer(self._memory.buffer, np.uint8, int(self._start[-1]))
        # one byte each, at the end; new memory is zero
        self._written = np.frombuffer(self._memory.buffer, np.uint8, count, int(self._start[-1]))

    def get(self, index: int) -> NDArray[np.uint8] | None:
        """Return the bytes of an entry, to be read only, or None if it was not written."""
        if not self._written[index]:
            return None
        entry = self._bytes[self._start[index] : self._start[index + 1]]
        entry.flags.writeable = False
        return entry

    def put(self, index: int, value: NDArray[np.uint8]) -> None:
        """Write the bytes of an entry, whole."""
        self._bytes[self._start[index] : self._start[index + 1]] = value
        self._written[index] = 1

    def __reduce__(self) -> tuple[Callable[..., "SharedCache"], tuple[object, ...]]:
        """Hand the memory to a process that is being started; a copy that is made for anything else is empty."""
        if get_spawning_popen() is None:
            return SharedCache, (np.diff(self._start),)
        return _attached, (self._start, self._memory)


def _attached(start: NDArray[np.int64], memory: Arena) -> SharedCache:
    cache = SharedCache.__new__(SharedCache)
    cache._start = start
    cache._attach(memory)
    return cache


def _reserve(size: int, file: Path | None) -> Arena:
    """Return memory of as many bytes, zero where nothing is written, that `multiprocessing` can hand to a process that starts."""
    message = (
        f"Expected room for {size / 1e9:.1f} GB of cached images in shared memory or in the folder for temporary files but there "
        "is less. Set TMPDIR to a folder with more room, or data.cache_images to false."
    )
    try:
        memory = Arena(size) if file is None else Arena(size, _opened(file, size))
    except OSError as error:
        raise OSError(message) from error
    if sys.platform != "win32":
        # a write to memory that turns out to have no room ends the process without a word
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
