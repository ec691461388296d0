"""Image files, found by their content, with names for the outputs about them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from data_modules.images.dicom import SUFFIXES as DICOM_SUFFIXES
from data_modules.images.dicom import is_dicom_file

SUFFIXES = (".png", ".jpg", ".jpeg")
# first bytes of PNG and JPEG files
_BEGINNINGS = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")


@dataclass(frozen=True)
class Named:
    """A file, and the name of the outputs about it."""

    path: Path
    name: str


def find_images(paths: Sequence[Path], known: Mapping[str, str] | None = None, out: Path | None = None) -> list[Named]:
    """Return image files, also those below folders, with unique names.

    A file that is given directly is always taken. In folders, JPEG, PNG and DICOM files are found by their content. Files with
    one of their suffixes are taken as well, so that damaged files are reported and not overlooked.

    Args:
        paths: Files and folders.
        known: Names of files from an earlier call, by path; these files keep their names.
        out: Output folder, which is not searched, since it may hold images from an earlier call.

    Raises:
        FileNotFoundError: If a path does not exist, or if there is no image at all.
    """
    found: list[Named] = []
    for path in paths:
        if not path.exists():
            raise FileNotFoundError(f"Expected an image or a folder at '{path}' but there is none.")
        if path.is_file():
            found.append(Named(path, _without_suffix(path).name))
            continue
        # sorted, so that numbers in names do not depend on the file system
        inside = sorted(file for file in path.rglob("*") if not _is_below(file, out) and _is_image(file))
        found += [Named(file, "_".join(_without_suffix(file.relative_to(path)).parts)) for file in inside]
    if not found:
        raise FileNotFoundError(
            f"Expected images ({', '.join(SUFFIXES)} or DICOM) in {[str(p) for p in paths]} but there are none."
        )
    return _with_names_that_differ(found, known or {})


def _with_names_that_differ(files: Sequence[Named], known: Mapping[str, str]) -> list[Named]:
    # files of an earlier call keep their names, so that a resumed command finds its outputs
    taken = set(known.values())
    named = []
    for file in files:
        name = known.get(str(file.path), file.name)
        count = 1
        while str(file.path) not in known and name in taken:
            count += 1
            name = f"{file.name}_{count}"
        taken.add(name)
        named.append(replace(file, name=name))
    return named


def _is_below(path: Path, folder: Path | None) -> bool:
    return folder is not None and path.absolute().is_relative_to(folder.absolute())


def _is_image(path: Path) -> bool:
    if is_dicom_file(path):
        return True
    if not path.is_file():
        return False
    if path.suffix.lower() in SUFFIXES:
        return True
    try:
        # unbuffered: a buffer would read kilobytes of every file
        with path.open("rb", buffering=0) as file:
            return file.read(8).startswith(_BEGINNINGS)
    except OSError:  # without permission to read it, its kind is unknown
        return False


def _without_suffix(path: Path) -> Path:
    """Return a path without an image suffix. Names of DICOM files are often numbers with dots, all of which are kept."""
    return path.with_suffix("") if path.suffix.lower() in (*SUFFIXES, *DICOM_SUFFIXES) else path
