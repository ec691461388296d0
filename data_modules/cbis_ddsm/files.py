"""Find full images and lesion masks of CBIS-DDSM by their content.

The description files name `000000.dcm` and `000001.dcm`, with opposite meanings for masses and calcifications; the
National Biomedical Imaging Archive delivers `1-1.dcm` and `1-2.dcm` in an order of its own. So neither names nor
columns distinguish a mask from a crop, but contents do: a mask has two grey levels and the size of its full image, a crop
has many levels.
"""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd

from data_modules.files.folders import walk_folders
from data_modules.images.dicom import is_dicom, list_dicom
from data_modules.images.geometry import is_rescaled
from data_modules.images.image_file import is_binary, read_dicom_pixels, read_identity, read_image

MaskStatus = Literal["same_size", "rescaled", "mismatched", "missing", "ambiguous"]
# from best to worst
STATUSES: tuple[MaskStatus, ...] = ("same_size", "rescaled", "mismatched", "missing", "ambiguous")
USABLE: tuple[MaskStatus, ...] = ("same_size", "rescaled")

PATIENT_FOLDER = re.compile(r"(Mass|Calc)-(Training|Test)_P_\d+_(LEFT|RIGHT)_(CC|MLO)(_\d+)?")
# `manifest-<number>/CBIS-DDSM/<PatientID>` and anything flatter
MAX_DEPTH = 4
# reading headers means waiting for many small reads, often over a network, so threads are enough
NUM_THREADS = 8
# a JPEG mask: at least this share of its pixels is this close to the darkest or the brightest grey value
NEARLY_ALL = 0.99
RINGING = 10 / 255


@dataclass(frozen=True)
class Mask:
    """The mask of one abnormality.

    Attributes:
        status: `same_size` as its image; `rescaled`: its image at another scale, within one pixel; `mismatched`: neither,
            so it cannot be aligned; `missing`: no file of two grey levels; `ambiguous`: several.
        path: The file, where the status is `same_size` or `rescaled`.
    """

    status: MaskStatus
    path: Path | None = None


@dataclass(frozen=True)
class _Header:
    path: Path
    size: tuple[int, int]
    uid: str


class DicomFiles:
    """The files of The Cancer Imaging Archive, indexed once by PatientID folder.

    It reads both forms of delivery: `<PatientID>/<StudyUID>/<SeriesUID>/1-1.dcm` and
    `<PatientID>/<date>-DDSM-NA-<digits>/<series>/1-1.dcm`, below any of `CBIS-DDSM/` and `manifest-*/CBIS-DDSM/`.

    Args:
        root: Folder that the PatientID folders lie in, up to four levels deep.

    Raises:
        FileNotFoundError: If there is no PatientID folder.
    """

    def __init__(self, root: Path) -> None:
        self._folders: dict[str, list[Path]] = {}
        for path in _patient_folders(root, MAX_DEPTH):
            self._folders.setdefault(path.name, []).append(path)
        if not self._folders:
            raise FileNotFoundError(
                f"Expected folders such as 'Mass-Training_P_00001_LEFT_CC' below '{root}' but found none. Download "
                "the images of CBIS-DDSM there, or set data.load_images to false."
            )

    def __call__(self, folder: str) -> list[Path]:
        """Return the DICOM files of a PatientID, whatever their names."""
        return sorted(path for root in self._folders.get(folder, []) for path in list_dicom(root))


class JpegFiles:
    """The JPEG copy of the data set (Kaggle, awsaf49), `jpeg/<SeriesInstanceUID>/<a>-<bbb>.jpg`.

    Its 8 bit files lose most of the 16 bit range, and masks do not have exactly two grey levels. A file is found by its
    series, the third component of the paths in the description files; the second, the study, is no folder of this copy.

    Args:
        root: Folder with `jpeg/`.
        frame: Rows as from `read_tables`, with `image_series` and `roi_series`.

    Raises:
        ValueError: If the description files hold no paths.
    """

    def __init__(self, root: Path, frame: pd.DataFrame) -> None:
        self._root = root / "jpeg"
        self._series: dict[str, set[str]] = {}
        for kind in ("image", "roi"):
            for folder, series in zip(frame[f"{kind}_folder"], frame[f"{kind}_series"], strict=True):
                self._series.setdefault(folder, set()).update(series)
        if not any(self._series.values()):
            raise ValueError(
                "Expected paths in the description files, whose third component names the folder of a series below "
                f"'{self._root}', but they hold none. Use the files as distributed."
            )

    def __call__(self, folder: str) -> list[Path]:
        """Return the JPEG files of a PatientID."""
        series = sorted(self._series.get(folder, ()))
        return sorted(path for name in series for path in (self._root / name).glob("*.jpg"))


def open_tree(root: Path, frame: pd.DataFrame) -> "ImageTree":
    """Index the images of a folder, whichever release it holds.

    Args:
        root: Folder with `jpeg/`, or one above `csv/` and `jpeg/`; or with PatientID folders.
        frame: Rows as from `read_tables`.
    """
    if (root / "jpeg").is_dir():
        return ImageTree(root, JpegFiles(root, frame))
    folders = (folder for level in walk_folders(root) for folder in level)
    above = next((folder for folder in folders if (folder / "csv").is_dir() and (folder / "jpeg").is_dir()), None)
    return ImageTree(root, DicomFiles(root) if above is None else JpegFiles(above, frame))


class ImageTree:
    """Distinguishes full images, crops and masks by their content.

    Args:
        root: Folder of the data set, for messages.
        files: Returns the files of a PatientID.
    """

    def __init__(self, root: Path, files: Callable[[str], list[Path]]) -> None:
        self.root = root
        self._files = files
        self._headers: dict[str, list[_Header]] = {}

    def images(self, folders: Sequence[Sequence[str]]) -> list[Path | None]:
        """Find one full image for each group of PatientIDs that show the same image.

        Args:
            folders: PatientIDs without abnormality number; the first that was delivered is taken.

        Returns:
            Paths in the same order, None where no file was delivered.

        Raises:
            ImageReadError: If one of several candidates cannot be read.
            ValueError: If several different files could be the full image.
        """
        with ThreadPoolExecutor(NUM_THREADS) as pool:
            return list(pool.map(self._image, folders))

    def masks(self, folders: Sequence[str], images: Sequence[Path]) -> list[Mask]:
        """Find the masks of abnormalities.

        Args:
            folders: PatientIDs with abnormality number.
            images: The full image of each.

        Returns:
            Masks in the same order.

        Raises:
            ImageReadError: If a candidate cannot be read.
        """
        with ThreadPoolExecutor(NUM_THREADS) as pool:
            return list(pool.map(self._mask, folders, images))

    def _image(self, folders: Sequence[str]) -> Path | None:
        for folder in folders:
            files = self._files(folder)
            if len(files) == 1:
                return files[0]
            if files:
                return _only_image(self._candidates(folder), folder)
        return None

    def _mask(self, folder: str, image: Path) -> Mask:
        candidates = self._candidates(folder)
        size = _read_header(image).size
        same = [candidate for candidate in candidates if candidate.size == size]
        smaller = [c for c in candidates if c.size[0] < size[0] and c.size[1] < size[1]]
        # One file as large as the image, and only smaller crops beside it: the headers suffice. Whether the file really has
        # two grey levels is checked when it is read.
        if len(same) != 1 or len(smaller) != len(candidates) - 1 or not smaller:
            candidates = [candidate for candidate in candidates if _is_mask(candidate.path)]
            same = [candidate for candidate in candidates if candidate.size == size]
        if len(same) == 1:
            return Mask("same_size", same[0].path)
        return _other_size(candidates, size)

    def _candidates(self, folder: str) -> list[_Header]:
        if folder not in self._headers:
            headers = [_read_header(path) for path in self._files(folder)]
            # a tree that was downloaded twice holds each object twice, with the same UID
            self._headers[folder] = list({header.uid: header for header in reversed(headers)}.values())[::-1]
        return self._headers[folder]


def _patient_folders(folder: Path, depth: int) -> Iterator[Path]:
    with os.scandir(folder) as entries:
        folders = sorted(entry.name for entry in entries if entry.is_dir())
    for name in folders:
        if PATIENT_FOLDER.fullmatch(name):
            yield folder / name
        elif depth > 1:
            yield from _patient_folders(folder / name, depth - 1)


def _only_image(candidates: Sequence[_Header], folder: str) -> Path:
    if len(candidates) > 1:
        candidates = [candidate for candidate in candidates if not _is_mask(candidate.path)]
    if len(candidates) != 1:
        raise ValueError(
            f"Expected one full image in '{folder}' but {len(candidates)} files could be it. Remove what does not "
            "belong there."
        )
    return candidates[0].path


def _other_size(masks: Sequence[_Header], size: tuple[int, int]) -> Mask:
    if len(masks) != 1:
        return Mask("ambiguous" if masks else "missing")
    if is_rescaled(masks[0].size, size):
        return Mask("rescaled", masks[0].path)
    return Mask("mismatched")


def _is_mask(path: Path) -> bool:
    if not is_dicom(path):
        return _is_nearly_binary(path)
    pixels = read_dicom_pixels(path)
    # an empty mask has one level, and so has a blank image, but images have 16 bits
    return is_binary(pixels) and (pixels.dtype.itemsize == 1 or pixels.min() != pixels.max())


def _is_nearly_binary(path: Path) -> bool:
    """Return whether nearly all pixels are close to the darkest or brightest one; JPEG leaves ringing at the edges of a mask."""
    pixels, _ = read_image(path)
    low = float(pixels.min())
    high = float(pixels.max())
    near = (pixels <= low + RINGING) | (pixels >= high - RINGING)
    return high - low > 2 * RINGING and float(near.mean()) >= NEARLY_ALL


def _read_header(path: Path) -> _Header:
    return _Header(path, *read_identity(path))
