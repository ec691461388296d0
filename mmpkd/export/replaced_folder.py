"""The replacement of an earlier export, which no kill leaves half done."""

import logging
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mmpkd.records.exported import NAMES, is_exported
from mmpkd.records.lock import hold

logger = logging.getLogger("mmpkd")


@contextmanager
def replacing_folder(out: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `out` that takes its place at the end; files that are not ours stay in `out`.

    After an error, the earlier export is as it was. After a kill, `out` is the earlier export or the new one. Between two renames
    it does not exist for a moment; after a kill in that moment, the next call brings the earlier one back.

    Args:
        out: The folder to write. It is missing, empty, or an earlier export.

    Raises:
        FileExistsError: If it holds something else.
        ValueError: If it cannot be renamed, or is the working directory.
        RuntimeError: If another process exports to it.
    """
    out = out.resolve()  # the folder behind a link is replaced, not the link
    _check(out)
    # in the same parent folder, because `rename` fails across file systems
    new, old = _beside(out, "new"), _beside(out, "old")
    with _locked(new, out):
        recover(out)
        try:
            yield new
            if out.is_dir():
                shutil.copymode(out, new)
                out.rename(old)
            new.rename(out)
        finally:
            shutil.rmtree(new, ignore_errors=True)
            recover(out)


def recover(out: Path) -> None:
    """End a replacement that was interrupted, if there was one: complete it if the new folder is in place, else undo it."""
    out = out.resolve()
    old = _beside(out, "old")
    if not old.is_dir():
        return
    if not out.exists():
        old.rename(out)
        return
    for file in old.iterdir():
        # only our own files are replaced: whatever else was added to the folder stays
        if file.name not in NAMES:
            file.rename(out / file.name)
    shutil.rmtree(old)


def _check(out: Path) -> None:
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not is_exported(out))):
        raise FileExistsError(
            f"Expected a new folder, or one from an earlier export, but '{out}' holds something else. Choose another one."
        )
    if Path.cwd().is_relative_to(out) or out.is_mount():
        what = "mounted by itself" if out.is_mount() else "the working directory, or holds it"
        raise ValueError(
            f"Expected a folder that can be replaced as a whole but '{out}' is {what}. Choose a new folder in it."
        )


@contextmanager
def _locked(new: Path, out: Path) -> Iterator[None]:
    """Create the temporary folder, empty, and lock it against a second export."""
    new.mkdir(parents=True, exist_ok=True)
    if sys.platform == "win32":
        yield  # Windows has no flock
        return
    descriptor = os.open(new, os.O_RDONLY)
    try:
        _lock(descriptor, new, out)
        for left in new.iterdir():  # by an export that was killed
            left.unlink()
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, new: Path, out: Path) -> None:
    try:
        hold(descriptor)
        # the other export may have ended, and renamed it, between the opening and the lock
        is_running = not new.is_dir() or not os.path.samestat(os.fstat(descriptor), new.stat())
    except BlockingIOError:
        is_running = True
    except OSError as error:
        logger.warning("'%s' has no file locks (%s): do not start a second export to '%s'.", out.parent, error, out)
        return
    if is_running:
        raise RuntimeError(
            f"Expected no other export to '{out}' but one is running. Wait for it, or choose another --out."
        )


def _beside(out: Path, kind: str) -> Path:
    # a name that nobody else gives, because both folders are removed
    return out.with_name(f".{out.name}.mmpkd-{kind}")
