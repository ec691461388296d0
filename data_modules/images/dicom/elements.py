"""Read an element of a DICOM header as the type that it should have: None without a value, and an error if it is wrong."""

from typing import TYPE_CHECKING, Any

from data_modules.images.decoding import DecodeError, decoding

if TYPE_CHECKING:
    import pydicom

# no quantity in an image is larger, and float32 could not hold it
MAX_NUMBER = 1e30


def read_values(dataset: "pydicom.Dataset", keyword: str) -> list[Any]:
    """Return all values of an element, none if it is missing or empty."""
    with decoding(keyword):
        value = dataset.get(keyword)
        if value is None or isinstance(value, str | bytes):
            return [value] if value else []
        return list(value) if hasattr(value, "__iter__") else [value]


def read_integers(dataset: "pydicom.Dataset", keyword: str) -> list[int]:
    """Return the values of an element of whole numbers.

    Raises:
        DecodeError: If it holds anything else.
    """
    values = read_values(dataset, keyword)
    for value in values:
        if not isinstance(value, int | float) or not float(value).is_integer():
            raise DecodeError(f"{keyword} is {_shown(values)} where whole numbers are expected")
    return [int(value) for value in values]


def read_integer(dataset: "pydicom.Dataset", keyword: str) -> int | None:
    """Return the only value of an element, a whole number, or None if there is no value.

    Raises:
        DecodeError: If there are several values, or anything but a whole number.
    """
    values = read_integers(dataset, keyword)
    if len(values) > 1:
        raise DecodeError(f"{keyword} is {_shown(values)} where one value is expected")
    return values[0] if values else None


def read_required(dataset: "pydicom.Dataset", keyword: str) -> int:
    """Return the only value of an element that every image needs.

    Raises:
        DecodeError: If there is no value, or anything but a whole number.
    """
    value = read_integer(dataset, keyword)
    if value is None:
        raise DecodeError(f"{keyword} is missing or empty")
    return value


def read_numbers(dataset: "pydicom.Dataset", keyword: str) -> list[float]:
    """Return the values of an element of decimal numbers.

    Raises:
        DecodeError: If it holds anything else, or a number that is not finite or absurdly large.
    """
    values = read_values(dataset, keyword)
    for value in values:
        # `not abs(value) < MAX_NUMBER` also refuses NaN
        if not isinstance(value, int | float) or not abs(value) < MAX_NUMBER:
            raise DecodeError(f"{keyword} is {_shown(values)} where finite numbers are expected")
    return [float(value) for value in values]


def read_text(dataset: "pydicom.Dataset", keyword: str) -> str | None:
    """Return a text in capitals, stripped of spaces, or None if there is none.

    Raises:
        DecodeError: If it holds anything else.
    """
    values = read_values(dataset, keyword)
    if len(values) > 1 or not all(isinstance(value, str) for value in values):
        raise DecodeError(f"{keyword} is {_shown(values)} where one text is expected")
    return values[0].strip().upper() or None if values else None


def read_items(dataset: "pydicom.Dataset", keyword: str) -> "list[pydicom.Dataset]":
    """Return the items of a sequence, none if it is missing or empty.

    Raises:
        DecodeError: If it is no sequence.
    """
    from pydicom import Dataset

    values = read_values(dataset, keyword)
    if values and not isinstance(values[0], Dataset):
        raise DecodeError(f"{keyword} is {_shown(values)} where a sequence is expected")
    return values


def _shown(values: list[Any]) -> str:
    text = (
        repr(values[0]) if len(values) == 1 else f"[{', '.join(map(str, values[:4]))}{', ...' if values[4:] else ''}]"
    )
    return text[:80]
