"""The replacement of an earlier export, which no kill leaves half done."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mmpkd.records.exported import NAMES


@contextmanager
def replacing_folder(out: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `out` that takes its place at the end; files that are not ours stay in `out`.

    After an error, the earlier export is as it was. After a kill, `out` is the earlier export or the new one. Between two renames
    it does not exist for a moment; after a kill in that moment, `recover` brings the earlier one back.

    Args:
        out: The folder to write. It is missing, empty, or an earlier export.
    """
    out = out.resolve()  # the folder behind a link is replaced, not the link
    recover(out)
    # in the same parent folder, because `rename` fails across file systems
    new, old = _beside(out, "tmp"), _beside(out, "old")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    try:
        yield new
        if out.is_dir():
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


def _beside(out: Path, kind: str) -> Path:
    return out.with_name(f".{out.name}.{kind}")
