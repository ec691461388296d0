"""Find full images and lesion masks in the delivered CBIS-DDSM tree, by content.

The description files name `000000.dcm` and `000001.dcm`, with opposite meanings for masses and calcifications; the
National Biomedical Imaging Archive delivers `1-1.dcm` and `1-2.dcm` in an order of its own. So neither names nor
columns tell a mask from a crop: a mask has two grey levels and the size of its full image, a crop has many levels.
"""

import os
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pydicom
from pydicom.errors import InvalidDicomError

from data_modules.geometry import same_aspect
from data_modules.images import ImageReadError, is_binary, read_dicom_pixels

MaskStatus = Literal["same_size", "rescaled", "mismatched", "missing", "ambiguous"]
USABLE: tuple[MaskStatus, ...] = ("same_size", "rescaled")

PATIENT_FOLDER = re.compile(r"(Mass|Calc)-(Training|Test)_P_\d+_(LEFT|RIGHT)_(CC|MLO)(_\d+)?")
HEADER = ["Rows", "Columns", "SOPInstanceUID"]
# `manifest-<number>/CBIS-DDSM/<PatientID>` and anything flatter
MAX_DEPTH = 4
# headers come from many small reads, often over a network: threads wait, they do not compute
NUM_THREADS = 8


@dataclass(frozen=True)
class Mask:
    """The mask of one abnormality.

    Attributes:
        status: `same_size` as its image; `rescaled`: same aspect ratio, another size; `mismatched`: another aspect
            ratio, so it cannot be aligned; `missing`: no file of two grey levels; `ambiguous`: several.
        path: The file, where the status is `same_size` or `rescaled`.
    """

    status: MaskStatus
    path: Path | None = None


@dataclass(frozen=True)
class _Header:
    path: Path
    size: tuple[int, int]
    uid: str


class ImageTree:
    """The delivered files, indexed once by PatientID folder.

    Both forms of delivery are read: `<PatientID>/<StudyUID>/<SeriesUID>/1-1.dcm` and
    `<PatientID>/<date>-DDSM-NA-<digits>/<series>/1-1.dcm`, below any of `CBIS-DDSM/` and `manifest-*/CBIS-DDSM/`.

    Args:
        root: Folder that the PatientID folders lie in, up to four levels deep.

    Raises:
        FileNotFoundError: If there is no PatientID folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._folders: dict[str, list[Path]] = {}
        for path in _patient_folders(root, MAX_DEPTH):
            self._folders.setdefault(path.name, []).append(path)
        self._headers: dict[str, list[_Header]] = {}
        if not self._folders:
            raise FileNotFoundError(
                f"Expected folders such as 'Mass-Training_P_00001_LEFT_CC' below '{root}' but found none. Download "
                "the images of CBIS-DDSM there, or set load_images to false."
            )

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
        # One file as large as the image and crops beside it: the headers suffice. That the file really has two levels
        # is checked when it is read.
        if len(same) != 1 or len(smaller) != len(candidates) - 1 or not smaller:
            candidates = [candidate for candidate in candidates if _is_mask(candidate.path)]
            same = [candidate for candidate in candidates if candidate.size == size]
        if len(same) == 1:
            return Mask("same_size", same[0].path)
        return _other_size(candidates, size)

    def _candidates(self, folder: str) -> list[_Header]:
        if folder not in self._headers:
            headers = [_read_header(path) for path in self._files(folder)]
            # a tree that was downloaded twice holds copies of the same object
            self._headers[folder] = list({header.uid: header for header in reversed(headers)}.values())[::-1]
        return self._headers[folder]

    def _files(self, folder: str) -> list[Path]:
        roots = self._folders.get(folder, [])
        return sorted(path for root in roots for path in root.rglob("*") if path.suffix.lower() == ".dcm")


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
    if same_aspect(masks[0].size, size):
        return Mask("rescaled", masks[0].path)
    return Mask("mismatched")


def _is_mask(path: Path) -> bool:
    pixels = read_dicom_pixels(path)
    # an empty mask has one level; so has a blank image, but those have 16 bit
    return is_binary(pixels) and (pixels.dtype.itemsize == 1 or pixels.min() != pixels.max())


def _read_header(path: Path) -> _Header:
    try:
        header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=HEADER)
        return _Header(path, (int(header.Rows), int(header.Columns)), str(header.get("SOPInstanceUID", path)))
    except (OSError, AttributeError, InvalidDicomError) as error:
        raise ImageReadError(
            f"Expected a DICOM image but the header of '{path}' cannot be read ({error}). Download it again."
        ) from error
