"""Check that the files of a data set exist, and that no two samples share one. No file is opened."""

import stat
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data_modules.base import PrivilegedDataModule
from data_modules.checks.report import Problem, examples, sample_examples
from data_modules.images.mask_regions import MaskRegion
from data_modules.images.prepared import PreparedImages
from data_modules.split import Split

# a network drive answers slowly, but many requests at a time
NUM_THREADS = 16
CHUNK = 1000


@dataclass(frozen=True)
class FileFacts:
    """Facts about N files from the file system.

    Attributes:
        exists: Bool (N,).
        identity: Uint64 (N, 2), device and inode, the same for all paths and links to a file; 0 where there is none.
        num_bytes: Int64 (N,).
    """

    exists: NDArray[np.bool_]
    identity: NDArray[np.uint64]
    num_bytes: NDArray[np.int64]


def look_up(paths: Sequence[Path]) -> FileFacts:
    """Ask the file system about files, many at a time."""
    chunks = [paths[start : start + CHUNK] for start in range(0, len(paths), CHUNK)]
    with ThreadPoolExecutor(NUM_THREADS) as pool:
        facts = [fact for chunk in pool.map(_look_up, chunks) for fact in chunk]
    table = np.array(facts, dtype=np.uint64).reshape(-1, 4)
    return FileFacts(table[:, 0] == 1, table[:, 1:3], table[:, 3].astype(np.int64))


def _look_up(paths: Sequence[Path]) -> list[tuple[int, int, int, int]]:
    return [_facts(path) for path in paths]


def _facts(path: Path) -> tuple[int, int, int, int]:
    """Return whether a file exists, its device, inode and size, from a single call to the file system."""
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return 0, 0, 0, 0
    return int(stat.S_ISREG(status.st_mode)), status.st_dev, status.st_ino, status.st_size


def check_files(name: str, split: Split, images: FileFacts) -> Iterator[Problem]:
    """Yield image and mask files of a split that do not exist."""
    missing = np.flatnonzero(~images.exists).tolist()
    if missing:
        message = f"Expected all {len(split)} image files but {len(missing)} do not exist."
        examples = sample_examples(split, missing)
        yield Problem("error", "files", name, message, len(missing), examples, str(split.image[missing[0]]))
    masks = [(row, path) for row, path in _masks(split)]
    there = look_up([path for _, path in masks]).exists
    absent = [own for own, exists in zip(masks, there, strict=True) if not exists]
    if absent:
        message = f"Expected all {len(masks)} mask files but {len(absent)} do not exist."
        rows = list(dict.fromkeys(row for row, _ in absent))
        yield Problem("error", "files", name, message, len(absent), sample_examples(split, rows), str(absent[0][1]))


def _masks(split: Split) -> Iterator[tuple[int, Path]]:
    for row, rois in split.rois.items():
        for roi in rois:
            yield from ((row, region.path) for region in roi.regions if isinstance(region, MaskRegion))


def check_same_files(splits: Mapping[str, Split], images: Mapping[str, FileFacts]) -> Iterator[Problem]:
    """Yield files that are the image of two splits or two patients, under whatever path or link."""
    identity = np.concatenate([images[name].identity for name in splits])
    _, group = np.unique(identity, axis=0, return_inverse=True)
    exists = np.concatenate([images[name].exists for name in splits])
    yield from shared("files", "one image file", splits, np.where(exists, group.reshape(-1), -1))


def shared(check: str, what: str, splits: Mapping[str, Split], group: NDArray[np.int64]) -> Iterator[Problem]:
    """Yield groups of samples that share something they should not.

    Args:
        check: Name of the check.
        what: A description of what they share, for the message.
        splits: The splits.
        group: Int64 (N,), the group of each sample of all splits, in order; -1 for samples in no group.
    """
    names = np.repeat(list(splits), [len(split) for split in splits.values()])
    samples = np.concatenate([split.sample_id for split in splits.values()])
    patients = np.concatenate([split.patient_id for split in splits.values()])
    across: dict[tuple[str, str], list[str]] = {}
    within: dict[str, list[str]] = {}
    for rows in _repeated(group):
        own = dict.fromkeys(names[rows].tolist())
        pair = f"{samples[rows[0]]} and {samples[rows[-1]]}"
        if len(own) > 1:
            first, *_, last = own
            across.setdefault((first, last), []).append(pair)
        elif len(set(patients[rows].tolist())) > 1:
            within.setdefault(next(iter(own)), []).append(pair)
    for (first, last), pairs in across.items():
        where = f"in '{first}' and in '{last}'"
        message = f"Expected each image in one split only but {what} belongs to samples {where}, {len(pairs)} times."
        yield Problem("error", check, first, message, len(pairs), examples(pairs))
    for name, pairs in within.items():
        message = f"Expected an image for each sample but {what} belongs to several patients, {len(pairs)} times."
        yield Problem("warning", check, name, message, len(pairs), examples(pairs))


def _repeated(group: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Yield the rows of each group of two or more."""
    order = np.argsort(group, kind="stable")
    # where the group changes; rows without a group (-1) come first
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))
    for rows in np.split(order, starts):
        if len(rows) > 1 and group[rows[0]] >= 0:
            yield rows


def check_prepared(data: PrivilegedDataModule, splits: Mapping[str, Split]) -> Iterator[Problem]:
    """Yield the reason why prepared images do not belong to the data."""
    if data.prepared is None:
        return
    for name, split in splits.items():
        try:
            PreparedImages(data.prepared, data.preparation, split.sample_id, split.image)
        except (OSError, ValueError) as error:
            yield Problem("error", "prepared", name, " ".join(str(error).split()), len(split))
