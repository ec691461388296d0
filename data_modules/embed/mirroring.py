"""Find out which images of EMBED were mirrored when they were exported as PNG, and check that boxes lie on the breast.

The PNG files show the chest wall on the left: an image whose DICOM file shows it on the right was mirrored
(https://github.com/Emory-HITI/EMBED_Open_Data, DCM_to_PNG).
"""

import re
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data_modules.images.decoding import DecodeError
from data_modules.images.dicom import is_dicom, read_orientation
from data_modules.images.image_file import ImageReadError
from data_modules.images.preparation import Preparation
from data_modules.images.regions import Roi, lies_mirrored, mirror
from data_modules.split import Split

# images of other views were never mirrored
MIRRORED_VIEWS = ("CC", "ML", "MLO")
# images of each side that are decoded before any long work; `mmpkd check-data` decodes all
NUM_CHECKED = 5
NUM_THREADS = 8
_TRUTH = {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False}


def were_mirrored(images: pd.DataFrame, files: Sequence[Path]) -> tuple[NDArray[np.bool_], int]:
    """Return which images were mirrored.

    `PNG_flipped` says so. Without it, Patient Orientation in the table or the DICOM header does: it begins with P where the
    chest wall is on the right. Without either, right breasts count as mirrored.

    Args:
        images: N rows of the metadata table, with `laterality` and `view`.
        files: Their image files.

    Returns:
        Bool (N,), and the number of images for which only the side was known.
    """
    stated = [_TRUTH.get(str(cell).strip("[]'\" ").lower()) for cell in _cells(images, "PNG_flipped")]
    directions = [_first_direction(cell) for cell in _cells(images, "PatientOrientation")]
    unknown = [row for row, direction in enumerate(directions) if not direction and stated[row] is None]
    with ThreadPoolExecutor(NUM_THREADS) as pool:
        headers = list(pool.map(_read_orientation, [files[row] for row in unknown]))
    for row, header in zip(unknown, headers, strict=True):
        directions[row] = _first_direction(header)
    result = np.zeros(len(images), dtype=np.bool_)
    num_by_side = 0
    for row, (side, view) in enumerate(zip(images["laterality"], images["view"], strict=True)):
        turned = directions[row] == "P" if directions[row] else side == "R"
        told = stated[row]
        result[row] = turned and view in MIRRORED_VIEWS if told is None else told
        num_by_side += told is None and not directions[row]
    return result, num_by_side


def _cells(images: pd.DataFrame, column: str) -> list[object]:
    return images[column].tolist() if column in images else [None] * len(images)


def _first_direction(cell: object) -> str:
    """Return the first letter of a Patient Orientation such as `['P', 'FL']` or `P/L`: the direction of image rows."""
    found = re.search("[A-Z]", cell) if isinstance(cell, str) else None
    return "" if found is None else found.group()


def _read_orientation(path: Path) -> str:
    """Return the Patient Orientation of a DICOM file, empty if it has none or is unreadable; reading its pixels reports that."""
    if not is_dicom(path):
        return ""
    try:
        return read_orientation(path)
    except DecodeError:
        return ""


def check_sides(splits: Iterable[Split], preparation: Preparation, advice: str) -> None:
    """Check on some images of each side, evenly spread, that boxes lie on the breast rather than mirrored beside it.

    A box close to the middle of its image lies on the breast either way, and is ignored.

    Args:
        splits: Splits with the stratum `side`, and at most one ROI an image.
        preparation: Crops images to the breast.
        advice: Advice for the message on what to set if boxes are mirrored.

    Raises:
        ValueError: If as many boxes of a side are mirrored as are not.
    """
    for side in ("L", "R"):
        own = [
            (split.image[row], rois[0])
            for split in splits
            for row, rois in split.rois.items()
            if split.strata["side"][row] == side
        ]
        spread = np.linspace(0, len(own) - 1, min(NUM_CHECKED, len(own))).round().astype(int)
        checked = [own[i] for i in spread]
        answers = [_is_mirrored(path, roi, preparation) for path, roi in checked]
        wrong = [path for (path, _), is_mirrored in zip(checked, answers, strict=True) if is_mirrored]
        num_told = sum(is_mirrored is not None for is_mirrored in answers)
        if wrong and 2 * len(wrong) >= num_told:
            raise ValueError(
                f"Expected boxes on the breast but {len(wrong)} of {num_told} images of side {side} have theirs in the "
                f"background and its mirror image on the breast, for example '{wrong[0]}'. {advice}"
            )


def _is_mirrored(path: Path, roi: Roi, preparation: Preparation) -> bool | None:
    """Return whether the ROI of an image is mirrored, or None if that cannot be decided."""
    try:
        _, placement = preparation(path)
    except ImageReadError:
        return None  # reported when images are prepared or checked
    if lies_mirrored(roi, placement):
        return True
    return False if lies_mirrored(mirror(roi), placement) else None
