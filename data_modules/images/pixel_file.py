"""A file of images of one size, of which any are read at a time."""

import os
import weakref
from collections.abc import Iterable
from io import FileIO
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike, NDArray


class CutOffError(ValueError):
    """A file of images ends too early."""


class PixelFile:
    """The pixels (N, side, side) of a file, without anything before or between them.

    Each image is read with one call, in any order. A memory map would read them page by page, and beyond what is asked for:
    images that are not yet in memory would come several times slower in random order, and a file that is cut off would kill the
    process. Processes may be forked while it is open.

    Args:
        path: The file.
        num_images: Number of images N.
        side: Height and width in pixels.
        dtype: Type of a pixel.

    Raises:
        CutOffError: If the size of the file differs.
    """

    def __init__(self, path: Path, num_images: int, side: int, dtype: DTypeLike) -> None:
        self._path = path
        self._shape = (side, side)
        self._dtype = np.dtype(dtype)
        self._bytes_per_image = side**2 * self._dtype.itemsize
        expected = num_images * self._bytes_per_image
        if path.stat().st_size != expected:
            raise self._cut_off(f"to have {expected} bytes but it has {path.stat().st_size}")
        self._file = FileIO(path)
        weakref.finalize(self, self._file.close)

    def read(self, rows: Iterable[int]) -> NDArray[np.generic]:
        """Return the pixels (n, side, side) of the images at these positions.

        Raises:
            CutOffError: If the file has become shorter since it was opened.
        """
        positions = [int(row) for row in rows]
        images = np.empty((len(positions), *self._shape), self._dtype)
        for position, image in zip(positions, images, strict=True):
            self._fill(memoryview(image).cast("B"), position * self._bytes_per_image)
        return images

    def _fill(self, memory: memoryview, start: int) -> None:
        while len(memory):
            count = _read_at(self._file, memory, start)
            if not count:
                raise self._cut_off(f"to have pixels from byte {start} on but it ends there")
            memory = memory[count:]
            start += count

    def _cut_off(self, found: str) -> CutOffError:
        return CutOffError(
            f"Expected '{self._path}' {found}: it was cut off, or belongs to another set. Delete the folder and run "
            "`mmpkd prepare` again."
        )


def _read_at(file: FileIO, memory: memoryview, start: int) -> int:
    if hasattr(os, "preadv"):
        # leaves alone the position in the file, which forked processes share
        return os.preadv(file.fileno(), [memory], start)
    file.seek(start)  # Windows, where no process is forked
    return file.readinto(memory) or 0
