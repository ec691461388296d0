"""Read DICOM images: headers as hospitals write them, grey values as the standard says."""

from data_modules.images.dicom.files import SUFFIXES, is_dicom, is_dicom_file, list_dicom
from data_modules.images.dicom.pixels import MAX_PIXELS
from data_modules.images.dicom.reading import (
    GreyImage,
    StoredImage,
    read_grey,
    read_identity,
    read_orientation,
    read_stored,
)

__all__ = [
    "MAX_PIXELS",
    "SUFFIXES",
    "GreyImage",
    "StoredImage",
    "is_dicom",
    "is_dicom_file",
    "list_dicom",
    "read_grey",
    "read_identity",
    "read_orientation",
    "read_stored",
]
