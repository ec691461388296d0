"""Arrays as bytes that a browser reads: one block of columns, run lengths of masks, repeated rows once."""

import gzip
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmpkd.study.report.explorer.contract import ArrayPlace

_TYPES = ("uint8", "uint16", "uint32", "float32")


class Blocks:
    """Arrays one after another, and where each lies."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0
        self.places: dict[str, ArrayPlace] = {}

    def add(self, name: str, array: NDArray[Any]) -> None:
        """Add an array of a type that browsers have.

        Raises:
            ValueError: If its type is another, or there is an array of that name.
        """
        if str(array.dtype) not in _TYPES or name in self.places:
            raise ValueError(f"Expected a new array of {', '.join(_TYPES)} but got '{name}' of {array.dtype}.")
        data = np.frombuffer(np.ascontiguousarray(array).tobytes(), np.uint8)
        # bytes of equal weight side by side: exponents of neighbours are alike, and gzip finds them
        planes = data.reshape(-1, array.dtype.itemsize).T.tobytes()
        self._parts.append(planes)
        self.places[name] = ArrayPlace(self._size, len(planes), str(array.dtype), array.shape)
        self._size += len(planes)

    def compressed(self) -> bytes:
        """Return all arrays, compressed; equal arrays give equal bytes."""
        return gzip.compress(b"".join(self._parts), 9, mtime=0)


def run_lengths(mask: NDArray[np.bool_]) -> bytes:
    """Return the lengths of the runs of 0, 1, 0, ... of a mask (H, W) in row order, as LEB128 numbers.

    The first run is one of 0, and may be empty.
    """
    flat = mask.reshape(-1)
    edges = np.flatnonzero(np.diff(flat, prepend=False))
    lengths = np.diff(np.concatenate(([0], edges, [flat.size]))).tolist()
    out = bytearray()
    for length in lengths:
        while length > 127:
            out.append(length & 127 | 128)
            length >>= 7
        out.append(length)
    return bytes(out)


def different_rows(maps: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.uint32]]:
    """Return the different maps in the order of their first use, (U, h, w), and which of them each of R maps is, (R,)."""
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
