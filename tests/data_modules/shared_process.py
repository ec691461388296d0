"""What a process does with a cache that it was started with; it imports no more than it needs."""

import os
import signal
import time
from pathlib import Path

import numpy as np

from data_modules.processes.shared_cache import SharedCache


def put(cache: SharedCache, index: int, value: int) -> None:
    """Write an entry that is `value` everywhere."""
    size = int(cache._start[index + 1] - cache._start[index])
    cache.put(index, np.full(size, value, np.uint8))


def die_while_writing(cache: SharedCache, index: int) -> None:
    """Write half of an entry, and be killed."""
    half = slice(cache._start[index], (cache._start[index] + cache._start[index + 1]) // 2)
    cache._bytes[half] = 255
    os.kill(os.getpid(), signal.SIGKILL)


def read_until_written(cache: SharedCache, found: Path) -> None:
    """Read all entries over and over until each is there, and keep what was ever served."""
    count = len(cache._start) - 1
    seen: set[int] = set()
    end = time.monotonic() + 30
    while len(seen) < count and time.monotonic() < end:
        for index in range(count):
            entry = cache.get(index)
            if entry is not None:
                assert (entry == index + 1).all(), f"entry {index} is torn"
                seen.add(index)
    found.write_text(str(len(seen)))
