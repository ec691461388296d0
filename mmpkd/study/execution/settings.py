"""Settings of a run, as its configuration files and flags state them, without starting it."""

from collections.abc import Sequence
from pathlib import Path

from mmpkd.cli.yaml_file import read_settings, with_bases
from mmpkd.study.execution.run import Run


def stated(run: Run, names: Sequence[str]) -> dict[str, object]:
    """Return settings of a run; one that neither a file nor a flag states is None.

    Args:
        run: The run.
        names: Full names without `init_args`, for example `trainer.devices` or `data.batch_size`.
    """
    added = [flag.config for flag in run.overrides if flag.config is not None]
    found: dict[str, object] = dict.fromkeys(names)
    # the last file or flag wins, as on the Lightning command line
    for config in (*run.arm.config, *added):
        for file in with_bases(config):
            found |= _of(read_settings(file), names, file.parent)
    for flag in run.overrides:
        if flag.data is not None:
            found |= _of({"data": str(flag.data)}, names, Path())
        elif flag.name in found:
            found[flag.name] = flag.value
    return found


def _of(settings: dict[str, object], names: Sequence[str], folder: Path) -> dict[str, object]:
    """Return those of the named settings that a file states."""
    own = dict(settings)
    if isinstance(own.get("data"), str):
        # `data` may be the path of another file
        own["data"] = read_settings(folder / str(own["data"]))
    values = {name: _value(own, name.split(".")) for name in names}
    return {name: value for name, value in values.items() if value is not None}


def _value(settings: object, keys: Sequence[str]) -> object:
    for key in keys:
        if not isinstance(settings, dict):
            return None
        # arguments of a class are below `init_args`
        settings = settings.get(key, settings.get("init_args", {}).get(key))
    return settings
