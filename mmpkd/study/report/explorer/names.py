"""The names of images and patients on the page."""

import hashlib
import os
from collections.abc import Sequence
from typing import Literal

Kind = Literal["identifiers", "hashes", "numbers"]


def shown_names(names: Sequence[str], kind: Kind) -> tuple[str, ...]:
    """Return the names to show, which are the same each time the page is written.

    Args:
        names: Sorted identifiers without repetitions.
        kind: Whether to show the identifiers, keyed hashes of them (BLAKE2b), or their numbers.
    """
    if kind == "identifiers":
        return tuple(names)
    if kind == "numbers":
        return tuple(str(number) for number in range(1, len(names) + 1))
    # hashed first, because keys of BLAKE2b have at most 64 bytes
    secret = hashlib.sha256(os.environ["MMPKD_ID_KEY"].encode()).digest()
    return tuple(hashlib.blake2b(name.encode(), digest_size=8, key=secret).hexdigest() for name in names)


def kind_of_names(license_name: str, are_hashed: bool) -> Kind:
    """Return the kind of names that the page may show.

    Args:
        license_name: `credentialed`, `open` or `synthetic`.
        are_hashed: Whether the runs hashed their identifiers (`run.hash_ids`).
    """
    if are_hashed:
        return "identifiers"
    if os.environ.get("MMPKD_ID_KEY"):
        return "hashes"
    return "identifiers" if license_name in ("open", "synthetic") else "numbers"
