"""Prepare the images of a data set in parallel, resumable after a kill, each with a checksum."""

import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from data_modules.files.atomic import naming_full_disk, reserve
from data_modules.files.json_file import read_json, write_json
from data_modules.images.image_file import ImageReadError
from data_modules.images.preparation import Preparation
from data_modules.images.prepared import (
    Depth,
    PreparedIndex,
    PreparedMeta,
    StaleImagesError,
    Status,
    checksum,
    describe,
    open_pixels,
    pack,
    quantise,
    rows_of,
)
from data_modules.processes.parallel import WorkerDiedError, parallel

OnError = Literal["skip", "stop"]
# images per job: at most as many are lost per process when the work is killed
CHUNK = 64


@dataclass(frozen=True)
class _Job:
    folder: Path
    meta: PreparedMeta
    preparation: Preparation
    rows: NDArray[np.int64]
    sample_id: NDArray[np.str_]
    files: tuple[Path, ...]


def prepare_images(
    folder: Path,
    preparation: Preparation,
    sample_id: NDArray[np.str_],
    files: Sequence[Path],
    depth: Depth = "uint8",
    num_workers: int | None = None,
    on_error: OnError = "skip",
) -> dict[str, str]:
    """Prepare all images that a folder lacks; those in it are kept, and unreadable ones are tried again.

    Args:
        folder: Folder of the prepared images; created if missing.
        preparation: The preparation of each file.
        sample_id: (N,) unique identifiers.
        files: N image files.
        depth: Type of a pixel.
        num_workers: Processes; by default one per processor, 0 for none.
        on_error: Whether an unreadable image is listed and left out, or ends the work.

    Returns:
        The reason for each image that could not be read, by identifier.

    Raises:
        ImageReadError: If an image cannot be read and `on_error` is `stop`; images prepared so far are kept.
        StaleImagesError: If the folder holds images prepared with other settings.
        DiskFullError: If there is no room for all of them; this is checked before the first one is prepared.
        WorkerDiedError: If a process is killed; images prepared so far are kept.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):
        _check_same(folder, preparation, depth)
        index, errors = _resume(folder, sample_id)
        meta = PreparedMeta(len(index.sample_id), preparation.image_size, depth, describe(preparation), False)
        reserve(folder / "images.bin", meta.num_bytes)
        meta.save(folder)
        # looked up once, since sorting the identifiers of a whole data set takes a second
        rows = rows_of(index.sample_id, sample_id)
        todo = np.flatnonzero(index.status[rows] != Status.READY)
        paths = np.array(files, dtype=object)
        jobs = [
            _Job(folder, meta, preparation, rows[own], sample_id[own], tuple(paths[own]))
            for own in np.split(todo, range(CHUNK, len(todo), CHUNK))
            if len(own)
        ]
        for own, part, failed in _run_all(jobs, num_workers, folder):
            _insert(index, own, part)
            remaining = {name: why for name, why in errors.items() if name not in part.sample_id} | failed
            if remaining != errors:
                write_json(folder / "errors.json", remaining)
                errors = remaining
            if failed and on_error == "stop":
                raise ImageReadError(f"{next(iter(failed.values()))} Images prepared so far are kept.")
        _write_index(folder, index)
        replace(meta, complete=bool((index.status != Status.PENDING).all())).save(folder)
    return errors


def verify_images(folder: Path) -> list[str]:
    """Compare every prepared image with its checksum.

    Returns:
        Identifiers of images that differ, whose pixels were changed or lost after they were written.
    """
    meta = PreparedMeta.load(folder)
    index = PreparedIndex.load(folder / "index.npz")
    pixels = open_pixels(folder, meta)
    ready = np.flatnonzero(index.status == Status.READY)
    return [str(index.sample_id[row]) for row in ready if checksum(pixels.read([int(row)])) != index.checksum[row]]


def _check_same(folder: Path, preparation: Preparation, depth: Depth) -> None:
    if not (folder / "meta.json").is_file():
        return
    found = PreparedMeta.load(folder)
    wanted = (describe(preparation), depth)
    if (found.settings, found.depth) != wanted:
        raise StaleImagesError(
            f"Expected images prepared with\n  {wanted[0]} as {depth}\nin '{folder}' but they were prepared with\n"
            f"  {found.settings} as {found.depth}\nChoose another folder, or delete this one."
        )


def _resume(folder: Path, sample_id: NDArray[np.str_]) -> tuple[PreparedIndex, dict[str, str]]:
    """Read the index, the parts finished since it was written, and the errors; add new samples."""
    path = folder / "index.npz"
    errors = folder / "errors.json"
    index = PreparedIndex.load(path) if path.is_file() else PreparedIndex.pending(sample_id[:0])
    parts = [PreparedIndex.load(part) for part in sorted((folder / "parts").glob("[0-9]*.npz"))]
    if parts:
        finished = PreparedIndex.concatenate(parts)
        _insert(index, rows_of(index.sample_id, finished.sample_id), finished)
    new = sample_id[rows_of(index.sample_id, sample_id) < 0]
    index = PreparedIndex.concatenate([index, PreparedIndex.pending(new)])
    _write_index(folder, index)
    return index, read_json(errors) if errors.is_file() else {}


def _write_index(folder: Path, index: PreparedIndex) -> None:
    index.save(folder / "index.npz")
    shutil.rmtree(folder / "parts", ignore_errors=True)
    (folder / "parts").mkdir()


def _insert(index: PreparedIndex, rows: NDArray[np.int64], part: PreparedIndex) -> None:
    for name in ("status", "num_bytes", "checksum", "geometry"):
        getattr(index, name)[rows] = getattr(part, name)


def _run_all(
    jobs: Sequence[_Job], num_workers: int | None, folder: Path
) -> Iterator[tuple[NDArray[np.int64], PreparedIndex, dict[str, str]]]:
    sizes = [len(job.rows) for job in jobs]
    results = parallel(_run, jobs, num_workers, "preparing images", chunk=1, sizes=sizes)
    try:
        for number, (job, (part, failed)) in enumerate(zip(jobs, results, strict=True)):
            part.save(folder / "parts" / f"{number:09d}.npz")
            yield job.rows, part, failed
    except WorkerDiedError as error:
        at_work = ", ".join(sorted(note.read_text(encoding="utf-8") for note in (folder / "parts").glob("*.now")))
        raise WorkerDiedError(f"{error} They were reading {at_work}. Images prepared so far are kept.") from error


def _run(job: _Job) -> tuple[PreparedIndex, dict[str, str]]:
    """Prepare some images and write their pixels; runs in a process of its own."""
    part = PreparedIndex.pending(job.sample_id)
    failed = {}
    # if a decoder crashes the process, this is the only trace of the file
    now = job.folder / "parts" / f"{os.getpid()}.now"
    path = job.folder / "images.bin"
    # not through a memory map: a full disk would kill the process without an error
    with naming_full_disk(path), path.open("r+b") as pixels, now.open("w", encoding="utf-8") as note:
        for i, (row, file) in enumerate(zip(job.rows, job.files, strict=True)):
            note.seek(0)
            note.truncate()
            note.write(str(file))
            note.flush()
            try:
                image, placement = job.preparation(file)
            except ImageReadError as error:
                part.status[i] = Status.UNREADABLE
                failed[str(job.sample_id[i])] = str(error)
                continue
            values = quantise(image, job.meta.depth)
            pixels.seek(int(row) * values.nbytes)
            pixels.write(values.tobytes())
            part.status[i] = Status.READY
            part.num_bytes[i] = file.stat().st_size
            part.checksum[i] = checksum(values)
            part.geometry[i] = pack(placement)
        pixels.flush()
        os.fsync(pixels.fileno())  # flush the pixels before the index lists them
    now.unlink()
    return part, failed
