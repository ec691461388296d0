"""The DICOM image that new objects refer to, and the elements that all of them share."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pydicom
import torch
from numpy.typing import NDArray
from pydicom.valuerep import DA, TM

from data_modules.images.decoding import DecodeError, decoding
from data_modules.images.geometry import Placement
from mmpkd.attribution import min_max

MANUFACTURER = "mmpkd"
# private codes, since no standard has codes for attribution maps or for probabilities of arbitrary findings
SCHEME = "99MMPKD"
RESEARCH = "For research only, not for clinical use"
# elements of patient and study that new objects copy; they may be empty but must be present
_COPIED = (
    "PatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
    "ReferringPhysicianName",
)
# the form of an age (VR AS)
_AGE = re.compile(r"\d{3}[DWMY]")
_REQUIRED = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")


class DicomSourceError(ValueError):
    """Raised if a DICOM file lacks elements that objects about it must refer to."""


@dataclass(frozen=True)
class Equipment:
    """The program that made an object, as its header describes it.

    Attributes:
        model: Name of the student.
        serial: First digits of the hash of its weights.
    """

    model: str
    serial: str

    def arguments(self) -> dict[str, Any]:
        """Return the arguments that highdicom needs."""
        return {
            "manufacturer": MANUFACTURER,
            "manufacturer_model_name": self.model,
            "software_versions": version("mmpkd"),
            "device_serial_number": self.serial,
        }


def read_source(path: Path) -> pydicom.Dataset:
    """Read a DICOM file that new objects will refer to. Missing elements that may be empty are added as empty ones.

    Raises:
        DicomSourceError: If the file does not identify its image, series or study, or if its header is damaged.
    """
    try:
        # not the user's doing, and what cannot be referred to is named
        with decoding("its header"), pydicom.config.disable_value_validation():
            # known to be DICOM by its content, but it may lack a preamble
            dataset = pydicom.dcmread(path, force=True)
            missing = [name for name in _REQUIRED if not dataset.get(name)]
            for name in _COPIED:
                if name not in dataset:
                    setattr(dataset, name, None if name == "PatientSex" else "")
            _leave_out_invalid(dataset)
            # new objects hold words of the image, which were decoded when it was read, and names of findings, in any script
            dataset.SpecificCharacterSet = "ISO_IR 192"
    except DecodeError as error:
        raise DicomSourceError(f"Expected a header of '{path}' that DICOM objects can refer to but {error}.") from error
    if missing:
        raise DicomSourceError(f"Expected {', '.join(_REQUIRED)} in '{path}' but it has no {', '.join(missing)}.")
    return dataset


def _leave_out_invalid(dataset: pydicom.Dataset) -> None:
    """Leave out what new objects copy, may be empty, and would be refused: many public images have such values."""
    # an age is often a bare number
    if "PatientAge" in dataset and not _AGE.fullmatch(str(dataset.PatientAge)):
        del dataset.PatientAge
    for name, parse in (("PatientBirthDate", DA), ("StudyDate", DA), ("StudyTime", TM)):
        try:
            parse(str(dataset.get(name) or ""))
        except ValueError:
            setattr(dataset, name, "")
    if dataset.PatientSex not in ("M", "F", "O"):
        dataset.PatientSex = None


def pixel_aspect_ratio(source: pydicom.Dataset) -> list[int] | None:
    """Return height and width of a pixel in whole numbers, or None if it is square or unknown."""
    spacings = [source.get(name) for name in ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")]
    stated = next((found for found in (*spacings, source.get("PixelAspectRatio")) if _is_size(found)), None)
    if stated is None:
        return None
    ratio = Fraction(float(stated[0]) / float(stated[1])).limit_denominator(1000)
    return None if ratio in (0, 1) else [ratio.numerator, ratio.denominator]


def _is_size(value: Any) -> bool:
    is_pair = isinstance(value, Sequence) and len(value) == 2
    return is_pair and all(isinstance(side, int | float) and 0 < side < math.inf for side in value)


def in_source(values: NDArray[np.float32], placement: Placement) -> NDArray[np.float32]:
    """Return a map in the pixels of the file, scaled to [0, 1]; 0 outside the part of the image that the student saw.

    Args:
        values: Float32 (h, w), a map on the patch grid.
        placement: Position of the image in the frame of the network.

    Returns:
        Float32 (height, width), in the size of the file.
    """
    scaled = min_max(torch.from_numpy(np.ascontiguousarray(values))[None])[0].numpy()
    height, width = placement.frame
    rows, columns = np.meshgrid(np.arange(height) + 0.5, np.arange(width) + 0.5, indexing="ij")
    # points are (x, y), as `cv2.remap` takes them
    canvas = placement.to_canvas(np.stack([columns.ravel(), rows.ravel()], axis=1)).reshape(height, width, 2)
    # pixel centres of the canvas in units of patches, measured from the centre of the first patch
    patches = canvas * (np.array(values.shape[::-1]) / placement.side) - 0.5
    places = patches.astype(np.float32)
    # the outer half of a patch at the border has no neighbour to interpolate with: it repeats its value
    sampled = cv2.remap(scaled, places[..., 0], places[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    (y0, y1) = placement.window.rows
    (x0, x1) = placement.window.columns
    inside = (rows >= y0) & (rows < y1) & (columns >= x0) & (columns < x1)
    return np.where(inside, sampled.clip(0, 1), np.float32(0)).astype(np.float32)
