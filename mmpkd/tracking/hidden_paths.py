"""Hiding paths of this machine in everything that is sent to a tracking server."""

import hashlib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# the start of a URL, which is no path, or of a path that may lead out of the working directory
_BEGIN = re.compile(
    r"(?P<address>(?!file:)[A-Za-z][\w+.-]*://(?!/))"
    r"|(?<![\w./~-])(?:file:/|~[\w.-]*(?:/|$)|(?:[\w.~-]+/+)*\.\.(?![^/\s\"',;)\]}])|/(?=\S)|^/)"
)


def hide_paths(value: Any) -> Any:
    """Return a configuration without the paths of this machine.

    A path inside the working directory becomes relative to it. A relative path is kept unless `..` leads out of that directory.
    Any other path becomes `path-` followed by the first 12 digits of its SHA-256, so equal paths of two runs stay recognisable.

    Args:
        value: Strings, paths, numbers, lists and mappings, nested in any way. Paths are also found inside strings. Since a path
            may contain spaces, everything after its start is treated as part of it.
    """
    if isinstance(value, str | os.PathLike):
        text = os.fspath(value)
        begin = next((found.start() for found in _BEGIN.finditer(text) if not found["address"]), len(text))
        return text[:begin] + (_hidden(text[begin:]) if text[begin:] else "")
    if isinstance(value, Mapping):
        return {hide_paths(key): hide_paths(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [hide_paths(item) for item in value]
    return value


def run_name(folder: Path) -> str:
    """Return the name of a run: the last two folders of its path, without folders of the path to the user's home."""
    left_out = {"/", "..", *_home().parts}
    parts = [part for part in folder.parts if part not in left_out]
    return "-".join(parts[-2:]) or "run"


def _hidden(text: str) -> str:
    expanded = os.path.expanduser(re.sub("^(file:)?/+", "/", text))  # noqa: PTH111
    path = Path(os.path.abspath(expanded))  # noqa: PTH100
    here = Path.cwd()
    is_known = not expanded.startswith("~")  # `~name` stays if this machine has no such user
    # relative to a working directory above the home folder, such as /, a path would still contain the user's name
    if is_known and path.is_relative_to(here) and here not in _home().parents:
        return str(hide_paths(str(path.relative_to(here))))  # a second path may follow in the same string
    return f"path-{hashlib.sha256(str(path).encode()).hexdigest()[:12]}"


def _home() -> Path:
    return Path(os.path.expanduser("~"))  # noqa: PTH111
