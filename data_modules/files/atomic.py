"""Atomic writes: a file is either the old or the new one, whatever happens; and room for files on the disk."""

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# errors of file systems that cannot reserve room
_NO_RESERVATION = (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)


class DiskFullError(OSError):
    """There is no room for a file."""

    def __str__(self) -> str:
        return str(self.strerror)


@contextmanager
def naming_full_disk(path: Path) -> Iterator[None]:
    """Replace the system's error for a full disk by one that names the file.

    Raises:
        DiskFullError: If there is no room.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        raise DiskFullError(
            error.errno, f"Expected room for '{path}' but: {error.strerror}. Free some space; the old file is kept."
        ) from error


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary file beside `path` that replaces it at the end; missing folders are created.

    The new content is flushed to disk before it is renamed, so neither a kill nor a power failure leaves half of it. After an
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
    except BaseException:  # also after Ctrl-C
        temporary.unlink(missing_ok=True)
        raise
    if os.name == "posix":
        # a rename is on disk only once its folder is
        _flush(path.parent)


def reserve(path: Path, num_bytes: int) -> None:
    """Set the size of a file and, where the file system can, reserve its room on the disk; its content is kept.

    A file without reserved room takes it up only when it is written, which may be days later.

    Raises:
        DiskFullError: If there is less room; the file is as it was.
    """
    with path.open("ab") as file:
        before = file.tell()
        missing = num_bytes - before
        # asked first, because not every file system can reserve room
        free = shutil.disk_usage(path.parent).free
        if missing > free:
            raise DiskFullError(
                errno.ENOSPC,
                f"Expected {missing / 1e9:.2f} GB for '{path}' but only {free / 1e9:.2f} GB are free. Free some space, or choose "
                "another folder; the old file is kept.",
            )
        with naming_full_disk(path):
            try:
                if missing > 0 and hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(file.fileno(), before, missing)
            except OSError as error:
                if error.errno not in _NO_RESERVATION:
                    # a failed reservation may have made the file longer already
                    file.truncate(before)
                    raise
            file.truncate(num_bytes)


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def check_writable(path: Path) -> None:
    """Check that a file can be written, before the long work that produces it; its folder is created.

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
    """Delete the temporary files and folders that killed processes left in a folder."""
    for temporary in folder.glob(".*.tmp"):
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            temporary.unlink(missing_ok=True)  # another process may have deleted it already


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
