"""Write many phantoms: in parallel, with progress, once."""

import json
import logging
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import cv2
from filelock import FileLock
from rich.progress import track

logger = logging.getLogger("mmpkd")
MANIFEST = "phantoms.json"
STARTED = ".phantoms-started.json"
# raise it whenever the same settings give other files
GENERATOR_VERSION = 2
_Job = TypeVar("_Job")
_Result = TypeVar("_Result")


def write_once(root: Path, settings: dict[str, Any], write: Callable[[], None]) -> None:
    """Write a folder unless it is complete with the same settings; an interrupted one is written again.

    Of several processes that want the same folder, one writes and the others wait for it.

    Args:
        root: The folder.
        settings: What its content depends on.
        write: Writes the content.

    Raises:
        FileExistsError: If the folder is complete with other settings, or holds something else.
    """
    root.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(root.with_name(f".{root.name}.lock")):
        _write_once(root, {"generator_version": GENERATOR_VERSION, **settings}, write)


def _write_once(root: Path, wanted: dict[str, Any], write: Callable[[], None]) -> None:
    manifest, started = root / MANIFEST, root / STARTED
    if manifest.is_file():
        found = json.loads(manifest.read_text())
        differing = sorted(key for key in wanted if found.get(key) != wanted[key])
        if differing:
            changes = ", ".join(f"{key} {found.get(key)!r} instead of {wanted[key]!r}" for key in differing)
            raise FileExistsError(
                f"Expected phantoms of the configured settings in '{root}' but they have {changes}. "
                f"Delete the folder, or set another data.root."
            )
        return
    if started.is_file():
        # what an interrupted write left may belong to other settings
        shutil.rmtree(root)
    if root.is_dir() and any(root.iterdir()):
        raise FileExistsError(f"Expected an empty folder for phantoms but '{root}' holds other files. Set data.root.")
    root.mkdir(parents=True, exist_ok=True)
    started.write_text(json.dumps(wanted))
    write()
    started.replace(manifest)


def parallel(
    function: Callable[[_Job], _Result], jobs: Sequence[_Job], num_workers: int | None, what: str
) -> list[_Result]:
    """Apply a function to all jobs, in order, with a progress bar in a terminal and a log line elsewhere.

    Args:
        function: A function of a module.
        jobs: Its arguments.
        num_workers: Processes; one a core by default, 0 for none.
        what: What is done, for the progress.
    """
    workers = (os.cpu_count() or 1) if num_workers is None else num_workers
    if workers == 0:
        return [function(job) for job in jobs]
    logger.info("%s: %d, on %d cores", what, len(jobs), workers)
    with ProcessPoolExecutor(workers, initializer=_single_thread) as pool:
        chunk = max(1, min(64, len(jobs) // (4 * workers)))
        results: Iterable[_Result] = pool.map(function, jobs, chunksize=chunk)
        if sys.stdout.isatty():
            results = track(results, description=what, total=len(jobs))
        return list(results)


def _single_thread() -> None:
    cv2.setNumThreads(0)
