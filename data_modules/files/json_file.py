"""Strict JSON files, written atomically."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from data_modules.files.atomic import write_text


def json_text(content: Mapping[str, Any]) -> str:
    """Return strict JSON, which has no NaN or infinity: numbers that are not finite become `null`.

    Source: RFC 8259, https://www.rfc-editor.org/rfc/rfc8259, section 6.
    """
    return json.dumps(_finite(content), indent=2, allow_nan=False) + "\n"


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write strict JSON atomically; missing folders are created, and numbers that are not finite become `null`."""
    write_text(path, json_text(content))


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it is not a JSON object, for example because half of it is missing.
    """
    content = load_json(path)
    if not isinstance(content, dict):
        raise ValueError(f"Expected an object of JSON in '{path}' but got {type(content).__name__}.")
    return content


def load_json(path: Path) -> Any:
    """Read a JSON file that may hold anything.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it is no JSON, for example because half of it is missing.
    """
    try:
        # editors of Windows begin UTF-8 with a byte order mark, which is no JSON
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise ValueError(f"Expected JSON in '{path}' but it is damaged: {error}. Restore or delete it.") from error


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
