"""Warnings and errors that a run has printed into its log."""

import re
from pathlib import Path

# Python's own warnings have file and line before them, those of a logger the time
_MESSAGE = re.compile(r"^(?:.*?: )?(?P<text>\w*Warning: .+)$|^\S+ (?P<logged>(?:warning|error|critical): .+)$")


def messages(log: Path, offset: int = 0) -> list[str]:
    """Return the different warnings and errors in a log, in order, each as one line.

    Args:
        log: The file; it may be missing.
        offset: Bytes of it that earlier attempts at the run have written.
    """
    if not log.is_file():
        return []
    with log.open("rb") as file:
        file.seek(offset)
        lines = file.read().decode(errors="replace").splitlines()
    found = [match for line in lines if (match := _MESSAGE.match(line))]
    return list(dict.fromkeys(match["text"] or match["logged"] for match in found))
