"""Configurations without the paths of this machine, for a tracking server."""

import hashlib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# where an address begins, whose slashes are none of a path, or a path that may lead out of the working directory
_BEGIN = re.compile(
    r"(?P<address>(?!file:)[A-Za-z][\w+.-]*://(?!/))"
    r"|(?<![\w./~-])(?:file:/|~[\w.-]*(?:/|$)|(?:[\w.~-]+/+)*\.\.(?![^/\s\"',;)\]}])|/(?=\S)|^/)"
)


def hide_paths(value: Any) -> Any:
    """Return a configuration without the paths of this machine.

    A path in the working directory becomes relative to it, and one that is relative already is kept, unless `..` leads out. Any
    other becomes `path-` and the first 12 digits of its SHA-256, so that one can still see whether two runs had the same.

    Args:
        value: Strings, paths, numbers, lists and mappings, nested in any way. Paths are found within strings, too; since they
            may hold spaces, what follows one in its string counts as part of it.
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
    """Return the name of a run: the last two folders of its path, leaving out those that lead to the user's home."""
    left_out = {"/", "..", *_home().parts}
    parts = [part for part in folder.parts if part not in left_out]
    return "-".join(parts[-2:]) or "run"


def _hidden(text: str) -> str:
    expanded = os.path.expanduser(re.sub("^(file:)?/+", "/", text))  # noqa: PTH111
    path = Path(os.path.abspath(expanded))  # noqa: PTH100
    here = Path.cwd()
    is_known = not expanded.startswith("~")  # the home folder of somebody unknown here
    if is_known and path.is_relative_to(here) and here not in _home().parents:
        return str(hide_paths(str(path.relative_to(here))))  # a second path may follow in the same string
    return f"path-{hashlib.sha256(str(path).encode()).hexdigest()[:12]}"


def _home() -> Path:
    return Path(os.path.expanduser("~"))  # noqa: PTH111
