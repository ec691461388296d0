"""Read the contours of INbreast, which are property lists of OsiriX."""

import plistlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.parsers.expat import ExpatError

KINDS = ("Mass", "Calcification", "Cluster", "Spiculated Region", "Distortion", "Asymmetry")
# misspellings in the data set, in lower case
MISSPELT = {
    "assymetry": "Asymmetry",
    "calcifications": "Calcification",
    "espiculated region": "Spiculated Region",
}
_BY_NAME = {kind.lower(): kind for kind in KINDS} | MISSPELT
_POINT = re.compile(r"\(\s*(-?[\d.]+)\s*,\s*(-?[\d.]+)\s*\)")


def kind_of(name: str) -> str:
    """Return the kind of contour that a name stands for, whatever its case and known misspellings; else the name itself."""
    return _BY_NAME.get(name.strip().lower(), name.strip())


def read_contours(path: Path) -> Iterator[tuple[str, tuple[tuple[float, float], ...]]]:
    """Read the contours of one image.

    Yields:
        Name as written, and corners as (x, y) in pixels.

    Raises:
        ValueError: If the file is damaged, or a corner is no pair of numbers.
    """
    try:
        with path.open("rb") as file:
            content: dict[str, Any] = plistlib.load(file)
        rois = [roi for image in content["Images"] for roi in image["ROIs"]]
        # read all before yielding any, so that a damaged file is refused as a whole
        contours = [(str(roi.get("Name") or "").strip(), tuple(map(_corner, roi["Point_px"]))) for roi in rois]
    except (plistlib.InvalidFileException, ExpatError, LookupError, ValueError) as error:
        raise ValueError(f"Expected contours in '{path}' but it cannot be read: {error}. Restore the file.") from error
    yield from contours


def _corner(text: str) -> tuple[float, float]:
    found = _POINT.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"'{text}' is no point (x, y)")
    return float(found.group(1)), float(found.group(2))
