"""Arrays of an object that processes read from one memory if they are started with the object."""

import io
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.context import get_spawning_popen
from multiprocessing.heap import Arena
from multiprocessing.reduction import ForkingPickler
from typing import Any

import numpy as np

from data_modules.processes.shared_memory import reserve_memory

# processors read whole lines of this many bytes
ALIGNMENT = 64


class SharedArrays:
    """Base of objects with large arrays that are never changed.

    A process that is started with such an object, other than by a fork, finds its arrays, at any depth, in memory that all
    these processes share, and cannot write to them. Any other copy has arrays of its own.
    """

    _shared: "tuple[list[memoryview], Arena] | None" = None

    def __getstate__(self) -> object:
        state = {name: value for name, value in self.__dict__.items() if name != "_shared"}
        if get_spawning_popen() is None:
            return state
        buffers: list[pickle.PickleBuffer] = []
        rest = io.BytesIO()
        ForkingPickler(rest, 5, True, buffers.append).dump(state)
        arrays = [buffer.raw() for buffer in buffers]
        return _State(rest.getvalue(), [array.nbytes for array in arrays], self._share(arrays))

    def __setstate__(self, state: "Mapping[str, Any] | _State") -> None:
        self.__dict__.update(state.restored() if isinstance(state, _State) else state)

    def _share(self, arrays: list[memoryview]) -> Arena:
        """Copy arrays to shared memory, once for all processes."""
        if self._shared is None or _addresses(self._shared[0]) != _addresses(arrays):
            starts, size = _layout([array.nbytes for array in arrays])
            memory = reserve_memory(size, "identifiers, paths, labels and texts")
            for start, array in zip(starts, arrays, strict=True):
                memory.buffer[start : start + array.nbytes] = array
            # the arrays are kept, so that no other array can take the address of one of them
            self._shared = (arrays, memory)
        return self._shared[1]


@dataclass(frozen=True)
class _State:
    """The parts of an object that a new process gets: all but its arrays, their bytes, and the memory that holds them."""

    rest: bytes
    num_bytes: list[int]
    memory: Arena

    def restored(self) -> dict[str, Any]:
        starts, _ = _layout(self.num_bytes)
        whole = memoryview(self.memory.buffer).toreadonly()
        views = [whole[start : start + size] for start, size in zip(starts, self.num_bytes, strict=True)]
        state: dict[str, Any] = pickle.loads(self.rest, buffers=views)
        return state


def _layout(num_bytes: list[int]) -> tuple[list[int], int]:
    """Return where each array starts, and the bytes of all, at least one."""
    ends = np.cumsum([0, *(-(-size // ALIGNMENT) * ALIGNMENT for size in num_bytes)], dtype=np.int64).tolist()
    return ends[:-1], max(ends[-1], 1)


def _addresses(arrays: list[memoryview]) -> list[tuple[int, int]]:
    return [(np.frombuffer(array, np.uint8).ctypes.data, array.nbytes) for array in arrays]
