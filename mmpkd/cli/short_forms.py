"""Short forms on the Lightning command line: the path of a teacher, and a file that adds to another one."""

from collections.abc import Sequence
from pathlib import Path

from mmpkd.cli.yaml_file import with_bases

_TEACHER = "--model.teacher"
_CONFIG = ("--config", "-c")


def written_out(args: Sequence[str]) -> list[str]:
    """Return arguments with `--model.teacher PATH` as `--model.teacher.path PATH`, and with all files that a file adds to.

    Without the first, a path would replace the whole teacher of a configuration file, its control included, and not its path
    only.

    Args:
        args: Arguments without the program's name.

    Raises:
        FileNotFoundError: If a file adds to one that does not exist.
        ValueError: If files add to each other in a circle.
    """
    long: list[str] = []
    for arg, following in zip(args, [*args[1:], ""], strict=True):
        name, equals, value = arg.partition("=")
        value = value if equals else following
        if name == _TEACHER and _is_path(value):
            long.append(f"{name}.path{equals}{value if equals else ''}")
            continue
        if name in _CONFIG and _is_file(value):
            long += [f"{name}={base}" for base in with_bases(Path(value))[:-1]]
        long.append(arg)
    return long


def _is_file(value: str) -> bool:
    try:
        return Path(value).is_file()
    except OSError:  # settings in place of a path may be too long for one
        return False


def _is_path(value: str) -> bool:
    """Return whether a value is neither settings in braces nor the word for none."""
    return value not in ("", "null") and not value.lstrip().startswith("{")
