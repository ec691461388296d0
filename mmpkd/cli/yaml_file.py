"""Files of settings."""

from pathlib import Path

import yaml


def read_settings(path: Path) -> dict[str, object]:
    """Read a file of settings in YAML.

    Raises:
        ValueError: If it is no YAML, or holds no settings; names the file.
    """
    try:
        content = yaml.safe_load(path.read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        what = str(error).replace(' in "<unicode string>",', "")
        raise ValueError(f"Expected YAML in '{path}' but got: {what}. Mend the file.") from error
    if not isinstance(content, dict):
        found = "nothing" if content is None else f"{content!r:.80}"
        raise ValueError(f"Expected settings in '{path}', such as `model:`, but it holds {found}.")
    return content
