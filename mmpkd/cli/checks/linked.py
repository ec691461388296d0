"""Settings that a run takes from another setting or from its data. Given by the user, they would be ignored."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from mmpkd.cli.short_forms import CONFIG_FLAGS, is_file, written_out
from mmpkd.cli.yaml_file import read_settings

OF_DATA = ("num_classes", "image_size", "in_chans", "mean", "std")
_FROM_DATA = "A run takes it from the data. Leave it out."
# name without `init_args`, and where the run takes it from
_LINKED = {
    "data.seed": "A run has one seed. Set --seed_everything.",
    "model.num_classes": _FROM_DATA,
    **{f"model.student.{name}": _FROM_DATA for name in OF_DATA},
}


def check_linked(args: Sequence[str]) -> None:
    """Refuse settings, as flags or in configuration files, that a run takes from elsewhere.

    Args:
        args: Arguments without the program's name.

    Raises:
        ValueError: For the first such setting.
    """
    for name, value in _given(written_out(args)):
        short = name.replace(".init_args", "")
        if short in _LINKED and value is not None:
            raise ValueError(f"Expected no {short} but got {value}. {_LINKED[short]}")


def _given(args: Sequence[str]) -> Iterator[tuple[str, Any]]:
    """Yield names and values of all settings in flags and files."""
    for arg, following in zip(args, [*args[1:], ""], strict=True):
        name, equals, text = arg.partition("=")
        value: Any = text if equals else following
        if name in CONFIG_FLAGS and is_file(value):
            yield from _flat("", read_settings(Path(value)), Path(value).parent)
        elif name.startswith("--"):
            yield from _flat(name[2:], _parsed(value), Path())


def _parsed(value: str) -> Any:
    """Return the value of a flag, which may be a mapping."""
    try:
        return yaml.safe_load(value) if value.startswith("{") else value
    except yaml.YAMLError:
        return value  # the parser says what is wrong with it


def _flat(name: str, value: Any, folder: Path) -> Iterator[tuple[str, Any]]:
    """Yield the settings in a value, and in the file that it names, such as `data: ../data/table.yaml`."""
    if name in ("data", "model") and is_file(value, folder):
        path = folder / value
        yield from _flat(name, read_settings(path), path.parent)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _flat(f"{name}.{key}" if name else str(key), item, folder)
    else:
        yield name, value
