"""Recognise DICOM files by content: hospitals deliver them without a suffix, as `.IMA`, or under any other name."""

from pathlib import Path

SUFFIXES = (".dcm", ".dicom", ".ima")
# the table of contents of a disc, itself a DICOM file
INDEX_NAME = "DICOMDIR"
# first bytes of a file without a preamble: an element of group 0002 or 0008, in either byte order
_GROUPS = {b"\x02\x00": "little", b"\x08\x00": "little", b"\x00\x02": "big", b"\x00\x08": "big"}
_FIRST_VRS = (b"UL", b"OB", b"CS", b"UI", b"DA", b"TM", b"DT", b"LO", b"SH")
# the first element of these groups is below this number, and its value is short
_MAX_ELEMENT = 0x20
_MAX_LENGTH = 256


def is_dicom(path: Path) -> bool:
    """Return whether the content of a file is DICOM, from its first 132 bytes; its name does not matter.

    Files of old devices without a preamble, which begin with the first element, count as well.

    Returns:
        False also if there is no readable file.
    """
    try:
        with path.open("rb", buffering=0) as file:
            start = file.read(132)
    except OSError:
        return False
    return start[128:] == b"DICM" or _is_element(start)


def is_dicom_file(path: Path) -> bool:
    """Return whether a search of a folder should find a file: by a usual suffix or by its content.

    A damaged file with the suffix of DICOM counts, so that it is not overlooked. The table of contents of a disc (`DICOMDIR`)
    does not, since it holds no image.
    """
    return path.name != INDEX_NAME and path.is_file() and (path.suffix.lower() in SUFFIXES or is_dicom(path))


def list_dicom(folder: Path) -> list[Path]:
    """Return the DICOM files in a folder and below, in order; see `is_dicom_file`."""
    return sorted(path for path in folder.rglob("*") if is_dicom_file(path))


def _is_element(start: bytes) -> bool:
    order = _GROUPS.get(start[:2])
    if order is None or len(start) < 132:
        return False
    if order == "big":
        return start[2:3] == b"\0" and start[3] < _MAX_ELEMENT and start[4:6] in _FIRST_VRS
    is_early = start[3:4] == b"\0" and start[2] < _MAX_ELEMENT
    # without a value representation, four bytes of length follow the tag
    is_short = start[6:8] == b"\0\0" and int.from_bytes(start[4:6], "little") < _MAX_LENGTH
    return is_early and (start[4:6] in _FIRST_VRS or is_short)
