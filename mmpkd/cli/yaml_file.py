"""Configuration files in YAML, which may extend another one, their `base`."""

import codecs
import locale
import re
from pathlib import Path

from data_modules.files.yaml_file import read_yaml

BASE = "base"
_BASE_LINE = re.compile(rf"^{BASE}:.*$", re.MULTILINE)


def read_settings(path: Path) -> dict[str, object]:
    """Read a configuration file in YAML.

    Raises:
        ValueError: If it is no YAML, contains no settings, or characters that the machine's locale would read as others. The
            message names the file.
    """
    content = read_yaml(path)
    if not isinstance(content, dict):
        found = "nothing" if content is None else f"{content!r:.80}"
        raise ValueError(f"Expected settings in '{path}', such as `model:`, but it contains {found}.")
    encoding = locale.getpreferredencoding(False)
    # jsonargparse reads files in the encoding of the locale, which may fail even at a comment
    if not path.read_text(encoding="utf-8").isascii() and codecs.lookup(encoding).name != "utf-8":
        raise ValueError(
            f"Expected a locale of UTF-8, because '{path}' has characters beyond ASCII, but its encoding is {encoding}. Set "
            "PYTHONUTF8=1."
        )
    return content


def with_bases(path: Path) -> list[Path]:
    """Return a configuration file and all of its bases, in the order in which to read them.

    The bases come first, so that the file overrides their settings.

    Args:
        path: A file. Its `base` is the path of another file, relative to its own folder.

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
            raise ValueError(f"Expected configuration files without a circle of bases but '{file}' is its own {BASE}.")
        files.insert(0, file)
    return files


def without_base(content: str) -> str:
    """Return the text of a configuration file without its `base`, which is no setting. Line numbers do not change."""
    return _BASE_LINE.sub("", content)
