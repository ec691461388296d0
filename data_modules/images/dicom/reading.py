"""Read DICOM images: one frame, as stored or as grey values."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from data_modules.images.decoding import DecodeError, decoding
from data_modules.images.dicom.elements import MAX_NUMBER, read_required, read_text, read_values
from data_modules.images.dicom.functional_groups import flatten_functional_groups
from data_modules.images.dicom.lookup import Limits, read_modality, read_voi
from data_modules.images.dicom.pixels import PixelFormat, decode, read_format

# pydicom takes half a second to import, so it is imported where a file is read: loader processes of data sets in
# other formats never wait for it
if TYPE_CHECKING:
    import pydicom


@dataclass(frozen=True)
class StoredImage:
    """One frame as stored, without any look-up table.

    Attributes:
        pixels: Integers (h, w), or (h, w, 3) of a colour image.
        is_inverted: Whether small values are bright (MONOCHROME1).
    """

    pixels: NDArray[np.integer[Any]]
    is_inverted: bool


@dataclass(frozen=True)
class GreyImage:
    """Grey values of one frame, bright = dense.

    Attributes:
        values: Float32 (h, w), from 0, in units of the file.
        span: The largest value that the header declares, by its window or look-up table, else by its bits stored.
        padding: Bool (h, w), True outside the exposure, or None if there is no padding.
    """

    values: NDArray[np.float32]
    span: float
    padding: NDArray[np.bool_] | None = None

    def observed(self) -> Limits:
        """Return the smallest and largest value of the exposure."""
        values = self.values if self.padding is None else self.values[~self.padding]
        return float(values.min()), float(values.max())


def read_grey(path: Path) -> GreyImage:
    """Read one frame, apply its modality transformation and VOI look-up table or window, and invert MONOCHROME1.

    A colour image becomes the mean of its channels, since these transformations do not apply to it.

    Raises:
        DecodeError: If the file is damaged, holds no image or several, or its header contradicts the standard.
    """
    dataset = _read(path)
    form = read_format(dataset)
    pixels = decode(dataset, form)
    if form.is_colour:
        return GreyImage(pixels.mean(axis=-1, dtype=np.float32), form.limits[1])
    padding = _padding(pixels, form)
    flatten_functional_groups(dataset)
    modality = read_modality(dataset, form.limits)
    low, high = modality.limits(form.limits)
    if not 0 < high - low < MAX_NUMBER:
        raise DecodeError(f"RescaleSlope and RescaleIntercept make its values reach from {low:g} to {high:g}")
    # float32 is exact for whole numbers up to 2^24; values far from 0 compared with their range need float64
    is_single = pixels.dtype.itemsize <= 2 and max(abs(low), abs(high)) < 2**8 * (high - low)
    values = modality(np.asarray(pixels, dtype=np.float32 if is_single else np.float64))
    voi = read_voi(dataset, (low, high))
    if voi is not None:
        values = voi(values)
        low, high = voi.limits((low, high))
    # MONOCHROME1 stores dense tissue as small values
    values = high - values if form.is_inverted else values - low
    return GreyImage(np.asarray(values, dtype=np.float32), high - low, padding)


def read_stored(path: Path) -> StoredImage:
    """Read one frame as stored.

    Raises:
        DecodeError: If the file is damaged, or holds no image or several.
    """
    dataset = _read(path)
    form = read_format(dataset)
    return StoredImage(decode(dataset, form), form.is_inverted)


def read_identity(path: Path) -> tuple[tuple[int, int], str | None]:
    """Return the (height, width) of an image and the SOP Instance UID that all copies of it share, from the header.

    Raises:
        DecodeError: If the file is damaged or holds no image.
    """
    header = _read(path, "Rows", "Columns", "SOPInstanceUID")
    size = read_required(header, "Rows"), read_required(header, "Columns")
    return size, read_text(header, "SOPInstanceUID")


def read_orientation(path: Path) -> str:
    """Return the direction of the rows of an image in the patient, such as `P` or `A`, from the header; empty if it has none.

    Raises:
        DecodeError: If the header or the element is damaged.
    """
    values = read_values(_read(path, "PatientOrientation"), "PatientOrientation")
    if not all(isinstance(value, str) for value in values):
        raise DecodeError(f"PatientOrientation is {values} where letters are expected")
    return values[0] if values else ""


def _read(path: Path, *keywords: str) -> "pydicom.FileDataset":
    """Read a file known to be DICOM, or only some elements of its header; the preamble may be missing."""
    import pydicom

    with decoding("the header"):
        if keywords:
            return pydicom.dcmread(path, force=True, stop_before_pixels=True, specific_tags=list(keywords))
        return pydicom.dcmread(path, force=True)


def _padding(pixels: NDArray[np.integer[Any]], form: PixelFormat) -> NDArray[np.bool_] | None:
    if form.padding is None:
        return None
    low, high = form.padding
    padding = np.asarray((pixels >= low) & (pixels <= high), dtype=np.bool_)
    if padding.all():
        raise DecodeError(f"all its pixels are padding: PixelPaddingValue stands for {low} to {high}")
    return padding if padding.any() else None
