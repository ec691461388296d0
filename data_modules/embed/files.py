"""Find the image files of EMBED."""

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from data_modules.files.folders import find_base

# the frame of coordinates or image files: that of the DICOM files, or that of PNG files, which were mirrored
Frame = Literal["dicom", "png"]
# `anon_dicom_path` begins with a folder of Emory's storage, or with `images/`, depending on the release
COHORT = "cohort_"
PNG_SUFFIXES = (".png", "_conv.png")


def relative_paths(paths: Iterable[object], prefix: str | None) -> list[Path]:
    """Return where images lie in the tree, from cells of `anon_dicom_path`.

    Args:
        paths: The cells.
        prefix: The beginning of the paths that stands for the root; None for everything before `cohort_1/` or `cohort_2/`.

    Raises:
        ValueError: If there is no prefix and a path names no cohort.
    """
    if prefix is not None:
        return [Path(str(path).removeprefix(prefix).lstrip("/")) for path in paths]
    found = []
    for path in paths:
        parts = Path(str(path)).parts
        start = next((i for i, part in enumerate(parts) if part.startswith(COHORT)), None)
        if start is None:
            raise ValueError(
                f"Expected 'anon_dicom_path' to name 'cohort_1/...' or 'cohort_2/...' but got '{path}'. Set data.image_prefix to "
                "the beginning of the paths that stands for data.root."
            )
        found.append(Path(*parts[start:]))
    return found


def image_files(root: Path, relative: Iterable[Path], frame: Frame) -> list[Path]:
    """Return the image files, which lie in `root/images/`, in `root`, or in another folder below.

    Args:
        root: Folder of the data set.
        relative: Where the DICOM files lie in the tree.
        frame: `dicom` for these files; `png` for PNG files in their place, `<name>.png` or `<name>_conv.png`.
    """
    relative = list(relative)
    suffixes = (None,) if frame == "dicom" else PNG_SUFFIXES
    bases = (find_base(root, _named(relative, suffix)) for suffix in suffixes)
    images = root / "images"
    base = next(filter(None, bases), images if images.is_dir() else root)
    files = [base / path for path in relative]
    return files if frame == "dicom" else [_png_copy(file) for file in files]


def _named(files: list[Path], suffix: str | None) -> list[Path]:
    """Return files with another end of their names, or as they are."""
    return files if suffix is None else [file.with_name(file.stem + suffix) for file in files]


def _png_copy(file: Path) -> Path:
    """Return the PNG file in the place of a DICOM file: the first that exists, or the first name if none does."""
    copies = [file.with_name(file.stem + suffix) for suffix in PNG_SUFFIXES]
    return next((path for path in copies if path.is_file()), copies[0])
