"""Write phantoms once."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from filelock import FileLock

from data_modules.files.json_file import json_text, read_json

MANIFEST = "phantoms.json"
STARTED = ".phantoms-started.json"
# increase it whenever the same settings give other files
GENERATOR_VERSION = 2


def write_once(root: Path, settings: dict[str, Any], write: Callable[[], None]) -> None:
    """Write a folder unless it is complete with the same settings; an interrupted one is written again.

    If several processes ask for the same folder, one writes it and the others wait.

    Args:
        root: The folder.
        settings: Settings that its content depends on.
        write: Writes the content.

    Raises:
        FileExistsError: If the folder is complete with other settings, or holds something else.
    """
    root.parent.mkdir(parents=True, exist_ok=True)
    # beside the folder, because an unfinished folder is deleted
    with FileLock(root.with_name(f".{root.name}.lock")):
        _write_once(root, {"generator_version": GENERATOR_VERSION, **settings}, write)


def _write_once(root: Path, wanted: dict[str, Any], write: Callable[[], None]) -> None:
    manifest = root / MANIFEST
    started = root / STARTED
    if manifest.is_file():
        found = read_json(manifest)
        differing = sorted(key for key in wanted if found.get(key) != wanted[key])
        if differing:
            changes = ", ".join(f"{key} {found.get(key)!r} instead of {wanted[key]!r}" for key in differing)
            raise FileExistsError(
                f"Expected phantoms of the configured settings in '{root}' but they have {changes}. "
                f"Delete the folder, or set another data.root."
            )
        return
    if started.is_file():
        # remains of an interrupted write may belong to other settings
        shutil.rmtree(root)
    if root.is_dir() and any(root.iterdir()):
        raise FileExistsError(f"Expected an empty folder for phantoms but '{root}' holds other files. Set data.root.")
    root.mkdir(parents=True, exist_ok=True)
    started.write_text(json_text(wanted), encoding="utf-8")
    write()
    # last, so that only a complete folder has a manifest
    started.replace(manifest)
