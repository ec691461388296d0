"""NumPy arrays on disk."""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.npyio import NpzFile
from numpy.typing import NDArray

from data_modules.files.atomic import replacing


def read_array(path: Path) -> NDArray[Any]:
    """Map a `.npy` file into memory; its content is read when it is used, and changes to the array are not written back.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it is damaged.
    """
    try:
        array: NDArray[Any] | NpzFile = np.load(path, mmap_mode="c", allow_pickle=False)
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise damaged(path, error) from error
    if isinstance(array, NpzFile):
        array.close()
        raise ValueError(f"Expected one array in '{path}' but it is an archive of arrays. Write it with numpy.save.")
    return array


def write_array(path: Path, array: NDArray[Any]) -> None:
    """Write a `.npy` file atomically.

    Raises:
        DiskFullError: If there is no room for it.
    """
    # NumPy adds `.npy` to the name of a temporary file, but not to an open one. Into a file that can only be written, it writes
    # with C's `fwrite`, whose error does not say that the disk is full.
    with replacing(path) as temporary, temporary.open("w+b") as file:
        np.save(file, array, allow_pickle=False)


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Read an `.npz` file.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it is damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return dict(arrays)
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise damaged(path, error) from error


def damaged(path: Path, error: Exception) -> ValueError:
    """Return the error for a damaged file."""
    return ValueError(f"Expected arrays in '{path}' but it is damaged: {error}. Restore or delete it.")
