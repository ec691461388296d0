"""Images of one size in one file: read in any order, by any process, and never beyond the end of the file."""

import os
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from data_modules.images.pixel_file import CutOffError, PixelFile


def write(path: Path, depth: str, number: int = 10, side: int = 24) -> NDArray[Any]:
    pixels = np.random.default_rng(0).integers(0, np.iinfo(depth).max, (number, side, side), depth, endpoint=True)
    pixels.tofile(path)
    return pixels


@pytest.mark.parametrize("depth", ["uint8", "uint16"])
def test_any_images_are_read_in_any_order(tmp_path: Path, depth: str) -> None:
    pixels = write(tmp_path / "a", depth)
    file = PixelFile(tmp_path / "a", 10, 24, depth)
    for rows in ([7, 0, 7, 9], [], range(10)):
        found = file.read(rows)
        assert found.dtype == depth
        np.testing.assert_array_equal(found, pixels[list(rows)])


def test_forked_processes_read_the_same_open_file_at_the_same_time(tmp_path: Path) -> None:
    pixels = write(tmp_path / "a", "uint8")
    file = PixelFile(tmp_path / "a", 10, 24, "uint8")

    def read_often(row: int) -> None:
        np.save(tmp_path / f"{row}.npy", file.read([row] * 2000))

    readers = [get_context("fork").Process(target=read_often, args=(row,)) for row in (0, 9)]
    for reader in readers:
        reader.start()
    for row, reader in zip((0, 9), readers, strict=True):
        reader.join()
        found = np.load(tmp_path / f"{row}.npy")
        np.testing.assert_array_equal(found, np.broadcast_to(pixels[row], found.shape))


def test_a_file_of_another_size_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "a", "uint8")
    for number in (9, 11):
        with pytest.raises(
            CutOffError, match=f"to have {number * 24 * 24} bytes but it has {10 * 24 * 24}: it was cut"
        ):
            PixelFile(tmp_path / "a", number, 24, "uint8")


def test_a_file_that_is_cut_off_while_it_is_read_is_an_error(tmp_path: Path) -> None:
    pixels = write(tmp_path / "a", "uint8")
    file = PixelFile(tmp_path / "a", 10, 24, "uint8")
    end = 9 * 24 * 24 + 100
    os.truncate(tmp_path / "a", end)
    np.testing.assert_array_equal(file.read([8])[0], pixels[8])
    with pytest.raises(CutOffError, match=f"pixels from byte {end} on but it ends there: it was cut off"):
        file.read([9])
