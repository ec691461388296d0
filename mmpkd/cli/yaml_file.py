"""Files of settings, which may add to another one."""

import re
from pathlib import Path

import yaml

BASE = "base"
_BASE_LINE = re.compile(rf"^{BASE}:.*$", re.MULTILINE)


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


def with_bases(path: Path) -> list[Path]:
    """Return a file of settings after those that it adds to: its `base`, and the base of that one.

    Each of them counts as if it were given before the file, so that the file changes what its bases say.

    Args:
        path: A file; `base` in it is the path of another one, relative to its own folder.

    Raises:
        FileNotFoundError: If a base does not exist.
        ValueError: If a base is no path, or a file is its own base.
    """
    files = [path]
    while (base := read_settings(files[0]).get(BASE)) is not None:
        if not isinstance(base, str):
            raise ValueError(f"Expected the path of a file as `{BASE}` of '{files[0]}' but got {base!r}.")
        file = files[0].parent / base
        if not file.is_file():
            raise FileNotFoundError(f"Expected the {BASE} of '{files[0]}' at '{file}' but there is no such file.")
        if any(file.samefile(other) for other in files):
            raise ValueError(f"Expected files that add to each other in one direction but '{file}' is its own {BASE}.")
        files.insert(0, file)
    return files


def without_base(content: str) -> str:
    """Return the text of a file of settings without its `base`, which is no setting; lines keep their numbers."""
    return _BASE_LINE.sub("", content)
