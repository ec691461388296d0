"""A hash of the code that a run is made with, committed or not."""

import hashlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import data_modules


@cache
def code_hash() -> str:
    """Return the SHA-256 of all Python files of `mmpkd` and `data_modules`."""
    return hash_of([Path(__file__).parents[1], Path(data_modules.__path__[0])])


def hash_of(packages: Sequence[Path]) -> str:
    """Return the SHA-256 of the names and contents of all Python files below some folders."""
    digest = hashlib.sha256()
    for package in packages:
        for path in sorted(package.rglob("*.py")):
            content = path.read_bytes()
            # with its length, no other division into files gives the same bytes
            digest.update(f"{package.name}/{path.relative_to(package).as_posix()} {len(content)}\n".encode())
            digest.update(content)
    return digest.hexdigest()
