"""What a process does with a cache that it was started with; it imports no more than it needs."""

import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data_modules.processes.shared_arrays import SharedArrays
from data_modules.processes.shared_cache import SharedCache
from data_modules.processes.texts import Paths, Texts


class Held(SharedArrays):
    """Something with large arrays, one of them inside something else."""

    def __init__(self, numbers: NDArray[np.int64], texts: Texts) -> None:
        self.numbers = numbers
        self.inside = {"texts": texts}


def private_megabytes() -> float:
    """Return the memory that this process wrote and shares with no other."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Private_Dirty")) / 1024


def describe_held(held: Held, found: Path) -> None:
    """Keep what a process that was started with the object sees, and what memory it has for itself."""
    texts = held.inside["texts"]
    total, last, writeable = int(held.numbers.sum()), texts[-1], held.numbers.flags.writeable
    found.write_text(f"{total} {last} {writeable} {private_megabytes()}")


def look_at_all(columns: Sequence[Texts | Paths], found: Path) -> None:
    """Look at all texts, and keep how many megabytes this process then has for itself beyond those from before."""
    before = private_megabytes()
    seen = sum(len(str(value)) for column in columns for value in column)
    found.write_text(f"{seen} {private_megabytes() - before}")


def put(cache: SharedCache, index: int, value: int) -> None:
    """Write an entry that is `value` everywhere."""
    size = int(cache._start[index + 1] - cache._start[index])
    cache.put(index, np.full(size, value, np.uint8))


def read_all(cache: SharedCache, found: Path) -> None:
    """Read all entries, and keep their sum and how many megabytes this process then has for itself beyond those from before."""
    before = private_megabytes()
    entries = [cache.get(index) for index in range(len(cache._start) - 1)]
    total = sum(int(entry.max()) for entry in entries if entry is not None)
    found.write_text(f"{total} {private_megabytes() - before}")


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
