"""Files that are read, or refused in one line."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from data_modules.images.image_file import ImageReadError

Result = TypeVar("Result")


def attempt(read: Callable[[Path], Result], path: Path) -> Result | None:
    """Return what is read, or None if the file is refused in one line that names it; any other error fails."""
    try:
        return read(path)
    except ImageReadError as error:
        line = str(error)
    assert "\n" not in line
    assert path.name in line
    return None
