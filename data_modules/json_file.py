"""JSON files that any reader understands, and that are either the old one or the new one."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def json_text(content: Mapping[str, Any]) -> str:
    """Return strict JSON, which has no NaN and no infinity: numbers that are not finite become `null`.

    Source: RFC 8259, https://www.rfc-editor.org/rfc/rfc8259, section 6.
    """
    return json.dumps(_finite(content), indent=2, allow_nan=False) + "\n"


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write strict JSON, all or nothing; folders are made. Numbers that are not finite become `null`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(json_text(content))
    temporary.replace(path)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
