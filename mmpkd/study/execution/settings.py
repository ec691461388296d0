"""Settings of a run, as its configuration files and flags state them, without starting it."""

from collections.abc import Sequence
from pathlib import Path

import yaml

from mmpkd.cli.yaml_file import read_settings, with_bases
from mmpkd.study.execution.run import Run
from mmpkd.study.plan.flags import Flag

# `null` states something, too: it takes back what an earlier file says
_NOTHING = object()


def stated(run: Run, names: Sequence[str]) -> dict[str, object]:
    """Return settings of a run; one that neither a file nor a flag states is None.

    Args:
        run: The run.
        names: Full names without `init_args`, for example `trainer.devices` or `data.batch_size`.
    """
    found: dict[str, object] = dict.fromkeys(names)
    for config in run.arm.config:
        found |= _of_config(config, names)
    # in their order, since the last file or flag wins on the Lightning command line
    for flag in run.overrides:
        found |= _of_flag(flag, names)
    return found


def _of_config(config: Path, names: Sequence[str]) -> dict[str, object]:
    """Return those of the named settings that a file or its bases state."""
    found: dict[str, object] = {}
    for file in with_bases(config):
        found |= _of(read_settings(file), names, file.parent)
    return found


def _of_flag(flag: Flag, names: Sequence[str]) -> dict[str, object]:
    """Return those of the named settings that a flag states."""
    if flag.config is not None:
        return _of_config(flag.config, names)
    value = _parsed(flag.value)
    return {flag.name: value} if flag.name in names else _of({flag.name: value}, names, Path())


def _parsed(value: str | None) -> object:
    """Return the value of a flag as the same text in a file is read, so that both compare."""
    try:
        return None if value is None else yaml.safe_load(value)
    except yaml.YAMLError:
        return value  # the Lightning command line says what is wrong with it


def _of(settings: dict[str, object], names: Sequence[str], folder: Path) -> dict[str, object]:
    """Return those of the named settings that a file states."""
    values = {name: _value(settings, name.split("."), folder) for name in names}
    return {name: value for name, value in values.items() if value is not _NOTHING}


def _value(settings: object, keys: Sequence[str], folder: Path) -> object:
    for key in keys:
        if isinstance(settings, str) and settings.endswith((".yaml", ".yml")):
            # a part, such as `data`, may be the path of another file
            settings = read_settings(folder / settings)
        if not isinstance(settings, dict):
            return _NOTHING
        # arguments of a class are below `init_args`
        arguments = settings.get("init_args")
        below = arguments if isinstance(arguments, dict) else {}
        settings = settings.get(key, below.get(key, _NOTHING))
    return settings
