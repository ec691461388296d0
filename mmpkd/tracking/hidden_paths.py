"""What a tracking server sees instead of the paths of this machine."""

import hashlib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# what leads out of the working directory
_OUTSIDE = r"(?:file:/+|~[\w.-]*(?:/|$)|\.\.(?:/|$)|/(?!/))"
_IS_PATH = re.compile(_OUTSIDE)
_EMBEDDED = re.compile(rf"""(?<=[\s=,;:'"(\[{{|])(?=\S\S){_OUTSIDE}[^\s,;:'")\]}}|]*""")


def hide_paths(value: Any) -> Any:
    """Return a configuration without the paths of this machine.

    A path in the working directory becomes relative to it, and one that is relative already is kept. Any other becomes `path-`
    and the first 12 digits of its SHA-256, so that one can still see whether two runs had the same.

    Args:
        value: Strings, paths, numbers, lists and mappings, nested in any way. Paths are found within strings, too.
    """
    if isinstance(value, str | os.PathLike):
        text = os.fspath(value)
        return _hidden(text) if _IS_PATH.match(text) else _EMBEDDED.sub(lambda found: _hidden(found[0]), text)
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
    expanded = os.path.expanduser(re.sub("^file:/+", "/", text))  # noqa: PTH111
    path, here = Path(os.path.abspath(expanded)), Path.cwd()  # noqa: PTH100
    is_known = not expanded.startswith("~")  # the home folder of somebody unknown here
    if is_known and path.is_relative_to(here) and here not in _home().parents:
        return str(path.relative_to(here))
    return f"path-{hashlib.sha256(str(path).encode()).hexdigest()[:12]}"


def _home() -> Path:
    return Path(os.path.expanduser("~"))  # noqa: PTH111
