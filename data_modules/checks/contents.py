"""Find files of different samples that have the same content."""

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from data_modules.checks.files import FileFacts, shared
from data_modules.checks.report import Problem
from data_modules.processes.parallel import parallel
from data_modules.split import Split


def check_contents(
    splits: Mapping[str, Split], images: Mapping[str, FileFacts], num_workers: int | None
) -> Iterator[Problem]:
    """Yield image files with the same content that belong to two splits or two patients.

    Only files of the same size are read and compared, by a hash of their content. `check_same_files` finds one file under
    several paths.

    Args:
        splits: The splits.
        images: Their image files.
        num_workers: Processes that read; by default one per processor, 0 for none.
    """
    paths = [path for split in splits.values() for path in split.image]
    identity = np.concatenate([images[name].identity for name in splits])
    size = np.concatenate([images[name].num_bytes for name in splits])
    # each file once, however many samples share it
    _, first = np.unique(identity, axis=0, return_index=True)
    _, kind, count = np.unique(size[first], return_inverse=True, return_counts=True)
    # a file of a unique size has no equal; all empty files are equal, but damaged
    rows = np.sort(first[(count[kind.reshape(-1)] > 1) & (size[first] > 0)])
    jobs = [paths[row] for row in rows]
    digests = list(parallel(_digest, jobs, num_workers, "contents of images")) if jobs else []
    _, found = np.unique(np.array(digests, dtype=np.str_), return_inverse=True)
    group = np.full(len(paths), -1, dtype=np.int64)
    known = np.array([bool(digest) for digest in digests], dtype=np.bool_)
    group[rows[known]] = found.reshape(-1)[known]
    yield from shared("contents", "one and the same content", splits, group)


def _digest(path: Path) -> str:
    """Return a hash of the content of a file, or an empty string if it cannot be read; `check_images` reports that."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    except OSError:
        return ""
