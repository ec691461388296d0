"""Find tables and images in a folder or below it, as deep as mirrors of data sets nest them."""

import math
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

# enough for a mirror of PhysioNet, <mirror>/physionet.org/files/<data set>/<version>/<folder>
MAX_DEPTH = 6
# a folder with more subfolders than this holds patients or images, not data sets
MAX_FOLDERS = 400
# number of files of a list, at most, that are looked for to find their folder
NUM_LOOKED_FOR = 20


def walk_folders(root: Path, leaves: str = "") -> Iterator[list[Path]]:
    """Walk a folder level by level, without entering folders that hold patients or images.

    Args:
        root: Where to begin.
        leaves: Regular expression for names of other folders not to enter.

    Yields:
        The folder itself, then the folders in it, and so on, each level in the order of its names.
    """
    seen: set[Path] = set()
    level = [root] if root.is_dir() else []
    for _ in range(MAX_DEPTH + 1):
        # a link may lead back to a folder above
        places = {folder.resolve(): folder for folder in level}
        level = [folder for place, folder in places.items() if place not in seen]
        if not level:
            return
        seen |= set(places)
        yield level
        opened = [folder for folder in level if folder == root or not re.fullmatch(leaves, folder.name)]
        level = [inner for folder in opened for inner in _folders_in(folder)]


def find_nearest(root: Path, *names: str) -> Path | None:
    """Return the file nearest to a folder that has one of several names; the newest by name if several are equally near.

    Args:
        root: The folder; the file may lie up to six levels below.
        names: Names that the file may have, with wildcards.
    """
    levels = (files_in(level, names) for level in walk_folders(root))
    return next((found[-1] for found in levels if found), None)


def find_file(root: Path, *names: str, hint: str = "Set the root of data.reader.") -> Path:
    """Return the file that `find_nearest` finds.

    Args:
        root: The folder.
        names: Names that the file may have.
        hint: Advice for the message if there is none.

    Raises:
        FileNotFoundError: If there is none.
    """
    found = find_nearest(root, *names)
    if found is None:
        listed = " or ".join(f"'{name}'" for name in names)
        raise FileNotFoundError(
            f"Expected a file {listed} in '{root}' or up to {MAX_DEPTH} folders below but there is none. {hint}"
        )
    return found


def files_in(folders: Iterable[Path], names: Sequence[str]) -> list[Path]:
    """Return the files of some folders that have one of several names, the newest by name last."""
    found = {path for folder in folders for name in names for path in folder.glob(name) if path.is_file()}
    return sorted(found, key=by_version)


def find_base(root: Path, files: Sequence[Path | str]) -> Path | None:
    """Return the folder that the paths of a table are relative to: the nearest to `root` that holds more than half of them.

    If there is none, it is the one that holds most. Another folder may hold a few images, such as earlier ones of the same
    patients, and one farther down a resized copy of all, also of an image that is missing here. A sample is looked for.

    Args:
        root: Where to look; the folder may lie up to six levels below.
        files: Paths relative to the folder.

    Returns:
        The folder, or None if no folder holds any of them.
    """
    # evenly spread, since the first or the last may not have been downloaded
    stride = max(1, math.ceil(len(files) / NUM_LOOKED_FOR))
    some = files[::stride]
    best = None
    most = 0
    for folder in (folder for level in walk_folders(root) for folder in level):
        number = sum((folder / path).is_file() for path in some)
        if number > most:
            best = folder
            most = number
        if 2 * most > len(some):
            break
    return best


def by_version(path: Path) -> tuple[Any, ...]:
    """Return a sort key that puts the newest path last: its name, the version among its folders, and its folder."""
    inside = [part for part in path.parent.parts if re.fullmatch(r"v?\d+(\.\d+)+", part)]
    return _natural(path.name), _natural(inside[-1] if inside else ""), _natural(str(path.parent))


def _natural(text: str) -> list[tuple[int, str]]:
    """Return a sort key by which 10 comes after 9."""
    return [(int(part) if part.isdecimal() else -1, part) for part in re.split(r"(\d+)", text)]


def _folders_in(folder: Path) -> list[Path]:
    """Return the folders in a folder by name; none if there are too many, or it may not be read."""
    try:
        # unlike `iterdir` with `is_dir`, this makes no system call for each of 100,000 images
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries if entry.is_dir())
    except PermissionError:
        # such as lost+found at the root of a disk
        return []
    return [folder / name for name in names] if len(names) <= MAX_FOLDERS else []
