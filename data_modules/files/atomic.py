"""Files that are either the old one or the new one, whatever happens while they are written, and room for them on the disk."""

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# of a file system that cannot reserve room
_NO_RESERVATION = (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)


class DiskFullError(OSError):
    """There is no room for a file."""

    def __str__(self) -> str:
        return str(self.strerror)


@contextmanager
def naming_full_disk(path: Path) -> Iterator[None]:
    """Name the file that there is no room for, in place of the system's error.

    Raises:
        DiskFullError: If there is no room.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        raise DiskFullError(
            error.errno, f"Expected room for '{path}' but: {error.strerror}. Free some; what was there before is kept."
        ) from error


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary file beside `path`, which takes its place at the end; folders are made.

    The new content is on disk before it has the name, so that neither a kill nor a power failure leaves half of it. After an
    error, the old file is still there.

    Raises:
        DiskFullError: If there is no room for the file.
        OSError: If it cannot be written for another reason.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _beside(path)
    try:
        with naming_full_disk(path):
            yield temporary
            _flush(temporary)
            temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if os.name == "posix":
        _flush(path.parent)


def reserve(path: Path, num_bytes: int) -> None:
    """Give a file its size and, where the file system can, reserve its room on the disk; what it holds so far is kept.

    A file that only has its size takes its room when it is written, which may be days later.

    Raises:
        DiskFullError: If there is less room; the file is as it was.
    """
    with path.open("ab") as file:
        before = file.tell()
        missing = num_bytes - before
        free = shutil.disk_usage(path.parent).free
        if missing > free:
            raise DiskFullError(
                errno.ENOSPC,
                f"Expected {missing / 1e9:.2f} GB for '{path}' but only {free / 1e9:.2f} GB are free. Free some, or choose "
                "another folder; what was there before is kept.",
            )
        with naming_full_disk(path):
            try:
                if missing > 0 and hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(file.fileno(), before, missing)
            except OSError as error:
                if error.errno not in _NO_RESERVATION:
                    file.truncate(before)
                    raise
            file.truncate(num_bytes)


def write_text(path: Path, text: str) -> None:
    """Write a text file, all or nothing."""
    with replacing(path) as temporary:
        temporary.write_text(text)


def check_writable(path: Path) -> None:
    """Check that a file can be written, before long work whose result it is to hold; its folder is made.

    Raises:
        OSError: If it cannot.
    """
    if path.is_dir():
        raise IsADirectoryError(f"Expected the path of a file but '{path}' is a folder.")
    temporary = _beside(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch()
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    temporary.unlink()


def remove_unfinished(folder: Path) -> None:
    """Delete what killed processes left half-written in a folder."""
    for temporary in folder.glob(".*.tmp"):
        temporary.unlink(missing_ok=True)  # another process may be faster


def _beside(path: Path) -> Path:
    """Return the path of a new temporary file in the folder of another."""
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")


def _flush(path: Path) -> None:
    """Force a file or the entries of a folder to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
