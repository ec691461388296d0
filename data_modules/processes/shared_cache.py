"""Arrays that processes share: each is written once, by whichever process is first, and read by all.

Loader processes share the arrays of the process that started them; the runs of a study share those that have a name.
"""

import os
from collections.abc import Callable, Sequence
from multiprocessing.context import get_spawning_popen
from multiprocessing.heap import Arena
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data_modules.processes.shared_memory import reserve_memory

# environment variable: folder of what the runs of a study share
FOLDER = "MMPKD_SHARED_IMAGES"


class SharedCache:
    """Entries of known sizes in memory shared by all processes started with this object, whatever the start method.

    The memory is reserved at once but used only as entries are written: shared memory if there is room, otherwise a temporary
    file (`TMPDIR`). An entry is served only when it is complete, so a process that dies while writing leaves none. Two
    processes may write the same entry at the same time, since its bytes are the same.

    Args:
        sizes: Bytes of each entry; an entry of 0 bytes counts as written.
        name: Name of the contents: equal names mean equal bytes. The processes of a study then share the entries, in a file
            of the folder that `MMPKD_SHARED_IMAGES` names. Without a name or a folder, only processes that are given this
            object do.

    Raises:
        OSError: If there is not enough room.
    """

    def __init__(self, sizes: Sequence[int] | NDArray[np.int64], name: str | None = None) -> None:
        self._start = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])
        folder = os.environ.get(FOLDER)
        file = Path(folder) / name if folder and name else None
        size = max(int(self._start[-1]) + len(sizes), 1)
        self._attach(reserve_memory(size, "cached images", ", or data.cache_images to false", file))
        self._written[np.diff(self._start) == 0] = 1

    def _attach(self, memory: Arena) -> None:
        self._memory = memory
        count = len(self._start) - 1
        self._bytes = np.frombuffer(self._memory.buffer, np.uint8, int(self._start[-1]))
        # one flag per entry, after all entries; new memory is zero
        self._written = np.frombuffer(self._memory.buffer, np.uint8, count, int(self._start[-1]))

    def get(self, index: int) -> NDArray[np.uint8] | None:
        """Return the bytes of an entry, read-only, or None if it was not written."""
        if not self._written[index]:
            return None
        entry = self._bytes[self._start[index] : self._start[index + 1]]
        entry.flags.writeable = False
        return entry

    def put(self, index: int, value: NDArray[np.uint8]) -> None:
        """Write all bytes of an entry."""
        self._bytes[self._start[index] : self._start[index + 1]] = value
        self._written[index] = 1

    def __reduce__(self) -> tuple[Callable[..., "SharedCache"], tuple[object, ...]]:
        """Share the memory with a process that is being started; any other copy starts empty."""
        if get_spawning_popen() is None:
            return SharedCache, (np.diff(self._start),)
        return _attached, (self._start, self._memory)


def _attached(start: NDArray[np.int64], memory: Arena) -> SharedCache:
    cache = SharedCache.__new__(SharedCache)
    cache._start = start
    cache._attach(memory)
    return cache
