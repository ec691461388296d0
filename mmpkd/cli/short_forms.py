"""Short forms of options on the Lightning command line."""

from collections.abc import Sequence

_TEACHER = "--model.teacher"


def written_out(args: Sequence[str]) -> list[str]:
    """Return arguments with `--model.teacher PATH` as `--model.teacher.path PATH`.

    Without it, a path would replace the whole teacher of a configuration file, its control included, and not its path only.

    Args:
        args: Arguments without the program's name.
    """
    long: list[str] = []
    for arg, following in zip(args, [*args[1:], ""], strict=True):
        name, equals, value = arg.partition("=")
        is_short = name == _TEACHER and _is_path(value if equals else following)
        long.append(f"{name}.path{equals}{value}" if is_short else arg)
    return long


def _is_path(value: str) -> bool:
    """Return whether a value is neither settings in braces nor the word for none."""
    return value not in ("", "null") and not value.lstrip().startswith("{")
