"""Prepared images on disk: the network's frame of every image, in one file with an index.

A folder holds

- `meta.json`: format, number of images, side, type, the settings that the images were prepared with, and whether all of
  them are done;
- `images.bin`: (N, side, side) uint8 or uint16, row-major, little-endian;
- `index.npz`: one row per image: identifier, status, size of its file, checksum, and where the file lies in the frame;
- `errors.json`: the reason for each image that could not be read, by identifier;
- `parts/`: rows finished since the index was written, while images are being prepared.
"""

import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import IntEnum
from operator import attrgetter
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from data_modules.files.array_file import read_arrays
from data_modules.files.atomic import replacing
from data_modules.files.json_file import read_json, write_json
from data_modules.images.geometry import Placement, Window
from data_modules.images.pixel_file import PixelFile
from data_modules.images.preparation import Image, Preparation
from data_modules.images.stored_pixels import in_unit_range

# format 2: padding of DICOM files is background, and grey_range also applies to 16 bit PNG
FORMAT = 2
Depth = Literal["uint8", "uint16"]
NUM_GEOMETRY = 12
# enough to notice exchanged files; on a network drive, a whole data set would take minutes
NUM_CHECKED = 1000


class StaleImagesError(ValueError):
    """Prepared images do not belong to the requested data or settings."""


@dataclass(frozen=True)
class PreparedMeta:
    """Description of prepared images.

    Attributes:
        num_images: Number of images N.
        side: Height and width in pixels.
        depth: Type of a pixel; its largest value stands for 1.
        settings: Settings of their preparation, as written by `describe`.
        complete: Whether all images were prepared, or found to be unreadable.
        format: Version of the folder's layout.
    """

    num_images: int
    side: int
    depth: Depth
    settings: str
    complete: bool
    format: int = FORMAT

    @property
    def num_bytes(self) -> int:
        """Size of `images.bin`."""
        return int(self.num_images * self.side**2 * np.dtype(self.depth).itemsize)

    @classmethod
    def load(cls, folder: Path) -> "PreparedMeta":
        """Read `meta.json`.

        Raises:
            FileNotFoundError: If it is missing.
            StaleImagesError: If it was written by another version.
        """
        path = folder / "meta.json"
        if not path.is_file():
            raise FileNotFoundError(
                f"Expected prepared images in '{folder}' but there are none. Run `mmpkd prepare CONFIG --out {folder}`."
            )
        values = read_json(path)
        if values.get("format") != FORMAT:
            raise StaleImagesError(
                f"Expected prepared images of format {FORMAT} in '{folder}' but got {values.get('format')}. Delete the "
                "folder and run `mmpkd prepare` again."
            )
        return cls(**values)

    def save(self, folder: Path) -> None:
        """Write `meta.json` atomically."""
        write_json(folder / "meta.json", asdict(self))


def describe(preparation: Preparation) -> str:
    """Return every setting that prepared images depend on."""
    return repr(preparation)


class Status(IntEnum):
    """State of one image."""

    PENDING = 0
    READY = 1
    UNREADABLE = 2


@dataclass(frozen=True)
class PreparedIndex:
    """One row per image.

    Attributes:
        sample_id: (N,) identifiers.
        status: Int8 (N,), see `Status`.
        num_bytes: Int64 (N,), size of the image file.
        checksum: Uint32 (N,), CRC-32 of the prepared pixels.
        geometry: Float64 (N, 12), see `pack`.
    """

    sample_id: NDArray[np.str_]
    status: NDArray[np.int8]
    num_bytes: NDArray[np.int64]
    checksum: NDArray[np.uint32]
    geometry: NDArray[np.float64]

    @classmethod
    def pending(cls, sample_id: NDArray[np.str_]) -> "PreparedIndex":
        """Return the rows of images that are yet to be prepared."""
        n = len(sample_id)
        zeros = (np.zeros(n, np.int8), np.zeros(n, np.int64), np.zeros(n, np.uint32), np.zeros((n, NUM_GEOMETRY)))
        return cls(sample_id.astype(np.str_), *zeros)

    @classmethod
    def load(cls, path: Path) -> "PreparedIndex":
        """Read an index file."""
        arrays = read_arrays(path)
        return cls(**{name: arrays[name] for name in cls.__dataclass_fields__})

    @classmethod
    def concatenate(cls, parts: Sequence["PreparedIndex"]) -> "PreparedIndex":
        """Join indices in order."""
        columns = {name: list(map(attrgetter(name), parts)) for name in cls.__dataclass_fields__}
        return cls(**{name: np.concatenate(column) for name, column in columns.items()})

    def save(self, path: Path) -> None:
        """Write an index file atomically."""
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.savez(file, **{name: getattr(self, name) for name in self.__dataclass_fields__})


def pack(placement: Placement) -> list[float]:
    """Return a placement as 12 numbers."""
    window = placement.window
    return [
        *placement.frame,
        *window.rows,
        *window.columns,
        float(window.flip),
        *placement.content,
        *placement.offset,
        placement.side,
    ]


def unpack(numbers: NDArray[np.float64]) -> Placement:
    """Return the placement that `pack` wrote."""
    v = numbers.tolist()
    window = Window((v[2], v[3]), (v[4], v[5]), bool(v[6]))
    integers = [int(value) for value in (v[0], v[1], *v[7:])]
    return Placement(
        (integers[0], integers[1]), window, (integers[2], integers[3]), (integers[4], integers[5]), integers[6]
    )


def quantise(image: Image, depth: Depth) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Return grey values in [0, 1] as integers of a depth, rounded to the nearest."""
    largest = np.iinfo(depth).max
    return np.asarray(np.rint(image * np.float32(largest)), dtype=depth)


def checksum(pixels: NDArray[np.generic]) -> int:
    """Return the CRC-32 of pixels."""
    return zlib.crc32(np.ascontiguousarray(pixels).tobytes())


def open_pixels(folder: Path, meta: PreparedMeta) -> PixelFile:
    """Open the pixels (N, side, side).

    Raises:
        CutOffError: If the size of the file differs from its description.
    """
    return PixelFile(folder / "images.bin", meta.num_images, meta.side, meta.depth)


def rows_of(known: NDArray[np.str_], asked: NDArray[np.str_]) -> NDArray[np.int64]:
    """Return the position of each wanted identifier among the known ones, or -1."""
    if not len(known):
        return np.full(len(asked), -1, dtype=np.int64)
    order = np.argsort(known, kind="stable")
    # identifiers beyond the last known one would get a position outside
    rows = order[np.minimum(np.searchsorted(known, asked, sorter=order), len(known) - 1)]
    return np.where(known[rows] == asked, rows, -1)


class PreparedImages:
    """Prepared images of one split, in its order. The file is opened by the process that reads first.

    Attributes:
        readable: Bool (N,), whether the image could be read when it was prepared.

    Args:
        folder: The folder of prepared images.
        preparation: The preparation that the images must have.
        sample_id: Identifiers of the split, in order.
        files: Their image files; the sizes of at most 1,000 are compared, to notice exchanged files.

    Raises:
        FileNotFoundError: If there are no complete prepared images.
        StaleImagesError: If they were prepared with other settings, lack samples, or belong to other files.
    """

    def __init__(
        self, folder: Path, preparation: Preparation, sample_id: NDArray[np.str_], files: Sequence[Path]
    ) -> None:
        self.folder = folder
        self.meta = PreparedMeta.load(folder)
        if self.meta.settings != describe(preparation):
            raise StaleImagesError(
                f"Expected images in '{folder}' prepared with\n  {describe(preparation)}\nbut they were prepared with\n"
                f"  {self.meta.settings}\nRun `mmpkd prepare` with this configuration and another folder, or change the "
                "configuration back."
            )
        index = PreparedIndex.load(folder / "index.npz")
        self._rows = rows_of(index.sample_id, sample_id)
        missing = (self._rows < 0) | (index.status[self._rows] == Status.PENDING)
        if missing.any() or not self.meta.complete:
            raise StaleImagesError(
                f"Expected prepared images of all {len(sample_id)} samples in '{folder}' but {int(missing.sum())} are not "
                f"there{'' if self.meta.complete else ', and it is not complete'}. Run `mmpkd prepare CONFIG --out {folder}` "
                "with the same --data flags: it continues where it stopped, and adds the missing images."
            )
        self.geometry = index.geometry[self._rows]
        self.readable = np.asarray(index.status[self._rows] == Status.READY, dtype=np.bool_)
        self._check_files(index.num_bytes[self._rows], files)
        self._pixels: PixelFile | None = None

    def _check_files(self, num_bytes: NDArray[np.int64], files: Sequence[Path]) -> None:
        step = max(1, len(files) // NUM_CHECKED)
        for row in range(0, len(files), step):
            path = files[row]
            # a reader that opens no images, as for a teacher of a table, does not look for their files
            if path == Path():
                continue
            if self.readable[row] and not path.is_file():
                raise StaleImagesError(
                    f"Expected '{path}', which was prepared, to exist, to compare its size, but there is no such file. "
                    "Restore the original images, or correct data.root."
                )
            if self.readable[row] and path.stat().st_size != num_bytes[row]:
                raise StaleImagesError(
                    f"Expected '{path}' to be the file that was prepared, of {num_bytes[row]} bytes, but it has "
                    f"{path.stat().st_size}. Delete '{self.folder}' and run `mmpkd prepare` again."
                )

    def __getstate__(self) -> dict[str, object]:
        # leave the open file out: each loader process opens it itself
        return {**self.__dict__, "_pixels": None}

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def bytes_per_image(self) -> int:
        """Bytes of one image."""
        return int(self.meta.side**2 * np.dtype(self.meta.depth).itemsize)

    def stored(self, rows: NDArray[np.int64]) -> NDArray[np.generic]:
        """Return the pixels (n, side, side) of some rows of the split, as stored."""
        if self._pixels is None:
            self._pixels = open_pixels(self.folder, self.meta)
        return self._pixels.read(self._rows[rows])

    def read(self, index: int) -> tuple[Image, Placement]:
        """Return one image, float32 (side, side) in [0, 1], and the placement of its file in it."""
        pixels, placement = self.read_stored(index)
        return in_unit_range(pixels), placement

    def read_stored(self, index: int) -> tuple[NDArray[np.generic], Placement]:
        """Return the pixels (side, side) of one image, as stored, and the placement of its file in it."""
        (pixels,) = self.stored(np.array([index]))
        return pixels, unpack(self.geometry[index])
