"""Arrays as bytes for a browser: one block of columns, masks as run lengths, repeated rows stored once."""

import gzip
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmpkd.study.report.explorer.contract import ArrayPlace

_TYPES = ("uint8", "uint16", "uint32", "float32")


class Blocks:
    """Arrays one after another, with the position of each."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0
        self.places: dict[str, ArrayPlace] = {}

    def add(self, name: str, array: NDArray[Any]) -> None:
        """Add an array whose type browsers have as well.

        Raises:
            ValueError: If it has another type, or if there is already an array of that name.
        """
        if str(array.dtype) not in _TYPES or name in self.places:
            raise ValueError(f"Expected a new array of {', '.join(_TYPES)} but got '{name}' of {array.dtype}.")
        data = np.frombuffer(np.ascontiguousarray(array).tobytes(), np.uint8)
        # store bytes by significance: neighbouring values have similar exponents, so gzip compresses them well
        planes = data.reshape(-1, array.dtype.itemsize).T.tobytes()
        self._parts.append(planes)
        self.places[name] = ArrayPlace(self._size, len(planes), str(array.dtype), array.shape)
        self._size += len(planes)

    def compressed(self) -> bytes:
        """Return all arrays, compressed; equal arrays give equal bytes."""
        return gzip.compress(b"".join(self._parts), 9, mtime=0)


def run_lengths(mask: NDArray[np.bool_]) -> bytes:
    """Return the lengths of the runs of 0, 1, 0, ... of a mask (H, W) in row order, as LEB128 numbers.

    The first run is a run of 0 and may be empty.
    """
    flat = mask.reshape(-1)
    edges = np.flatnonzero(np.diff(flat, prepend=False))
    lengths = np.diff(np.concatenate(([0], edges, [flat.size]))).tolist()
    out = bytearray()
    for length in lengths:
        while length > 127:
            # seven bits a byte, lowest first; the eighth says that more follow
            out.append(length & 127 | 128)
            length >>= 7
        out.append(length)
    return bytes(out)


def different_rows(maps: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.uint32]]:
    """Return the U distinct maps in the order of their first use, (U, h, w), and the index (R,) of each of R maps among them."""
    first: dict[bytes, int] = {}
    kept: list[int] = []
    row = np.empty(len(maps), np.uint32)
    for position, values in enumerate(maps):
        key = values.tobytes()
        if key not in first:
            first[key] = len(kept)
            kept.append(position)
        row[position] = first[key]
    return maps[kept], row
