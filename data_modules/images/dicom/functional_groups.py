"""Functional groups of enhanced images, PS3.3 C.7.6.16: there they say what other images say at the top level."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from data_modules.images.decoding import decoding
from data_modules.images.dicom.elements import read_items

if TYPE_CHECKING:
    import pydicom

# those of all frames, and those of each: the latter hold what the former do not
_GROUPS = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")
# what grey values depend on, C.7.6.16.2.9 and C.7.6.16.2.10
_MACROS = {
    "PixelValueTransformationSequence": ("RescaleSlope", "RescaleIntercept"),
    "FrameVOILUTSequence": ("VOILUTSequence", "WindowCenter", "WindowWidth", "VOILUTFunction"),
}


def flatten_functional_groups(dataset: "pydicom.Dataset") -> None:
    """Copy what an image says of the grey values of its only frame to the top level.

    Args:
        dataset: The header, which is changed.

    Raises:
        DecodeError: If the groups are damaged.
    """
    for item, keywords in list(_macros(dataset)):
        with decoding("its functional groups"):
            for keyword in keywords:
                if keyword in item:
                    dataset[keyword] = item[keyword]


def _macros(dataset: "pydicom.Dataset") -> "Iterator[tuple[pydicom.Dataset, tuple[str, ...]]]":
    """Yield the item of each macro for the first frame, with what to copy from it."""
    for name in _GROUPS:
        for group in read_items(dataset, name)[:1]:
            for macro, keywords in _MACROS.items():
                for item in read_items(group, macro)[:1]:
                    yield item, keywords
