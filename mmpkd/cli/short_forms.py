"""Short forms on the Lightning command line: `--model.teacher PATH`, and the `base` of a configuration file."""

from collections.abc import Sequence
from pathlib import Path

from mmpkd.cli.yaml_file import with_bases

_TEACHER = "--model.teacher"
CONFIG_FLAGS = ("--config", "-c")


def written_out(args: Sequence[str]) -> list[str]:
    """Expand `--model.teacher PATH` to `--model.teacher.path PATH`, and insert the bases of configuration files.

    Otherwise a path would replace all settings of the teacher in a configuration file, including its control.

    Args:
        args: Arguments without the program's name.

    Raises:
        FileNotFoundError: If the base of a file does not exist.
        ValueError: If bases form a circle.
    """
    long: list[str] = []
    for arg, following in zip(args, [*args[1:], ""], strict=True):
        name, equals, value = arg.partition("=")
        value = value if equals else following
        if name == _TEACHER and _is_path(value):
            long.append(f"{name}.path{equals}{value if equals else ''}")
            continue
        if name in CONFIG_FLAGS and is_file(value):
            # before the file itself, which overrides them
            long += [f"{name}={base}" for base in with_bases(Path(value))[:-1]]
        long.append(arg)
    return long


def is_file(value: object, folder: Path = Path()) -> bool:
    """Return whether a value is the path of a file, relative to a folder."""
    try:
        return isinstance(value, str) and (folder / value).is_file()
    except OSError:  # JSON settings can be too long for a path
        return False


def _is_path(value: str) -> bool:
    """Return whether a value is neither empty, nor null, nor settings in braces."""
    return value not in ("", "null") and not value.lstrip().startswith("{")
