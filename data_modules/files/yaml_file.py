"""YAML files."""

from pathlib import Path
from typing import Any

import yaml


def read_yaml(path: Path) -> Any:
    """Read a YAML file that may hold anything.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it is no YAML, for example because it is damaged. The message names the file.
    """
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        # PyYAML's name for text that does not come from a file
        what = " ".join(str(error).replace(' in "<unicode string>",', "").split())
        raise ValueError(f"Expected YAML in '{path}' but got: {what}. Fix or restore the file.") from error
