"""JSON files that are either the old one or the new one."""

import json
from pathlib import Path
from typing import Any

from data_modules.atomic import write_text


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write JSON, all or nothing; folders are made."""
    write_text(path, json.dumps(content, indent=2) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it cannot be read as an object of JSON, for example because half of it is missing.
    """
    try:
        content = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"Expected JSON in '{path}' but it is damaged: {error}. Restore or delete it.") from error
    if not isinstance(content, dict):
        raise ValueError(f"Expected an object of JSON in '{path}' but got {type(content).__name__}.")
    return content
