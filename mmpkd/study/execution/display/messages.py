"""Warnings and errors in the log of a run."""

import re
from pathlib import Path

# Python's own warnings begin with file and line, those of a logger with the time
_MESSAGE = re.compile(r"^(?:.*?: )?(?P<text>\w*Warning: .+)$|^\S+ (?P<logged>(?:warning|error|critical): .+)$")


def messages(log: Path, offset: int = 0) -> list[str]:
    """Return the distinct warnings and errors in a log, in order, each as one line.

    Args:
        log: Log file, which may be missing.
        offset: Number of bytes that earlier attempts at the run wrote, which are skipped.
    """
    if not log.is_file():
        return []
    with log.open("rb") as file:
        file.seek(offset)
        lines = file.read().decode(errors="replace").splitlines()
    found = [match for line in lines if (match := _MESSAGE.match(line))]
    return list(dict.fromkeys(match["text"] or match["logged"] for match in found))
