"""The modality and value of interest (VOI) transformations of DICOM, from stored to grey values (PS3.3 C.11)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from data_modules.images.decoding import DecodeError
from data_modules.images.dicom.elements import (
    read_integers,
    read_items,
    read_numbers,
    read_text,
    read_values,
)

if TYPE_CHECKING:
    import pydicom

Values = NDArray[np.floating[Any]]
Limits = tuple[float, float]
Function = Literal["LINEAR", "LINEAR_EXACT", "SIGMOID"]
# and the smallest width of each
MIN_WIDTH: dict[Function, float] = {"LINEAR": 1.0, "LINEAR_EXACT": 1e-9, "SIGMOID": 1e-9}


@dataclass(frozen=True)
class Rescale:
    """A linear modality transformation, PS3.3 C.11.1.1.2.

    Attributes:
        slope: Factor, not 0.
        intercept: Number that is added afterwards.
    """

    slope: float
    intercept: float

    def __call__(self, values: Values) -> Values:
        """Transform values of any shape."""
        if (self.slope, self.intercept) == (1, 0):
            return values
        return values * values.dtype.type(self.slope) + values.dtype.type(self.intercept)

    def limits(self, before: Limits) -> Limits:
        """Return the smallest and largest possible value after the transformation."""
        # a negative slope exchanges the ends
        low, high = sorted(self.slope * end + self.intercept for end in before)
        return low, high


@dataclass(frozen=True)
class LookUpTable:
    """A modality or VOI look-up table, PS3.3 C.11.1.1.1 and C.11.2.1.1.

    Attributes:
        first: The value of the first entry; smaller values become that entry, too.
        entries: Uint16 (n,); values above the range become the last one.
        bits: Bits per entry.
    """

    first: int
    entries: NDArray[np.uint16]
    bits: int

    def __call__(self, values: Values) -> Values:
        """Look up values of any shape, rounded to whole numbers."""
        positions = np.clip(np.rint(values) - self.first, 0, len(self.entries) - 1).astype(np.intp)
        looked_up: Values = self.entries.astype(values.dtype)[positions]
        return looked_up

    def limits(self, before: Limits) -> Limits:
        """Return the smallest and largest value that an entry can have."""
        del before
        return 0.0, float(2**self.bits - 1)


@dataclass(frozen=True)
class Window:
    """A window, PS3.3 C.11.2.1.2 and C.11.2.1.3; grey values in [0, 1].

    Attributes:
        center: Value that becomes 0.5, or half a unit above it for `LINEAR`.
        width: At least 1 for `LINEAR`, else above 0.
        function: Function from values to grey.
    """

    center: float
    width: float
    function: Function

    def __call__(self, values: Values) -> Values:
        """Transform values of any shape."""
        center = self.center
        width = self.width
        # (x - (c - 0.5)) / (w - 1) + 0.5, PS3.3 C.11.2.1.2.1
        if self.function == "LINEAR":
            center = center - 0.5
            width = width - 1
        grey: Values
        if self.function == "SIGMOID":
            # the logistic function of the standard, in a form that does not overflow
            grey = 0.5 + 0.5 * np.tanh(2 * (values - center) / width)
        elif width == 0:
            grey = (values > center).astype(values.dtype)
        else:
            grey = np.clip((values - center) / width + 0.5, 0, 1)
        return grey

    def limits(self, before: Limits) -> Limits:
        """Return (0, 1)."""
        del before
        return 0.0, 1.0


def read_modality(dataset: "pydicom.Dataset", limits: Limits) -> Rescale | LookUpTable:
    """Return the modality transformation of stored values; a missing or empty slope is 1, an intercept 0.

    Args:
        dataset: The header.
        limits: Smallest and largest possible stored value.

    Raises:
        DecodeError: If the header is wrong or incomplete.
    """
    table = read_table(dataset, "ModalityLUTSequence", limits)
    if table is not None:
        return table
    slope = _one(dataset, "RescaleSlope", 1.0)
    intercept = _one(dataset, "RescaleIntercept", 0.0)
    if slope == 0:
        raise DecodeError("RescaleSlope is 0, which makes all pixels equal")
    return Rescale(slope, intercept)


def read_voi(dataset: "pydicom.Dataset", limits: Limits) -> LookUpTable | Window | None:
    """Return the first look-up table, else the first window, else None.

    As viewers do, it ignores an empty table, and a window without a centre or with a width of 0.

    Args:
        dataset: The header.
        limits: Smallest and largest possible value of the modality.

    Raises:
        DecodeError: If the header is wrong or incomplete.
    """
    table = read_table(dataset, "VOILUTSequence", limits)
    if table is not None:
        return table
    centers = read_numbers(dataset, "WindowCenter")
    widths = read_numbers(dataset, "WindowWidth")
    if not centers or not widths or widths[0] == 0:
        return None
    name = read_text(dataset, "VOILUTFunction") or "LINEAR"
    function = next((known for known in MIN_WIDTH if known == name), None)
    if function is None:
        raise DecodeError(f"VOILUTFunction is '{name}' where one of {', '.join(MIN_WIDTH)} is expected")
    if widths[0] < MIN_WIDTH[function]:
        raise DecodeError(f"WindowWidth is {widths[0]:g}, too small for a {function} window")
    return Window(centers[0], widths[0], function)


def read_table(dataset: "pydicom.Dataset", keyword: str, limits: Limits) -> LookUpTable | None:
    """Return the look-up table in the first item of a sequence whose descriptor or data are not empty, or None if there is none.

    Args:
        dataset: The header.
        keyword: `ModalityLUTSequence` or `VOILUTSequence`.
        limits: Smallest and largest possible value that is looked up.

    Raises:
        DecodeError: If the table is incomplete.
    """
    for item in read_items(dataset, keyword):
        descriptor = read_integers(item, "LUTDescriptor")
        data = read_values(item, "LUTData")
        if descriptor or data:
            is_little = dataset.original_encoding[1] is not False
            return _table(descriptor, data, keyword, limits, is_little)
    return None


def _table(descriptor: list[int], data: list[Any], keyword: str, limits: Limits, is_little: bool) -> LookUpTable:
    if len(descriptor) != 3 or not 8 <= descriptor[2] <= 16:
        raise DecodeError(
            f"the LUTDescriptor of {keyword} is {descriptor} where a count, a value and bits are expected"
        )
    # the count is unsigned, and the first value signed if pixels are, whatever type the element declares
    count = descriptor[0] % 2**16 or 2**16
    first = descriptor[1]
    if first >= 2**15 and limits[0] < 0:
        first -= 2**16
    entries = _entries(data, count, descriptor[2], is_little)
    if len(entries) < count:
        raise DecodeError(f"the LUTData of {keyword} has {len(entries)} entries where {count} are expected")
    return LookUpTable(first, entries[:count], descriptor[2])


def _entries(data: list[Any], count: int, bits: int, is_little: bool) -> NDArray[np.uint16]:
    """Return the entries of a table from 16 bit words, or from bytes of such words."""
    if len(data) == 1 and isinstance(data[0], bytes):
        data = np.frombuffer(data[0][: len(data[0]) // 2 * 2], "<u2" if is_little else ">u2").tolist()
    if not all(isinstance(word, int) for word in data):
        raise DecodeError("the LUTData of a look-up table are no numbers")
    words = np.asarray(np.asarray(data, dtype=np.int64) % 2**16, dtype="<u2")
    # entries of 8 bits may be packed two to a word, the first one in the low byte
    is_packed = bits == 8 and len(words) == (count + 1) // 2 < count
    return words.view(np.uint8).astype(np.uint16) if is_packed else words


def _one(dataset: "pydicom.Dataset", keyword: str, default: float) -> float:
    values = read_numbers(dataset, keyword)
    if len(values) > 1:
        raise DecodeError(f"{keyword} has {len(values)} values where one is expected")
    return values[0] if values else default
