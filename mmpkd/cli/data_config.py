"""The data module of a configuration, without its model and trainer."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from data_modules.base import PrivilegedDataModule
from data_modules.forms import PrivilegedForm
from mmpkd.cli.suggestions import SuggestingParser
from mmpkd.cli.user_code import find_user_code
from mmpkd.cli.yaml_file import read_settings, with_bases


def load_data_module(config: Path, overrides: Sequence[str]) -> PrivilegedDataModule:
    """Instantiate the data module that a configuration names.

    Args:
        config: An experiment, of which only `data` is used, or a file with the data module alone
            (`experiments/data/*.yaml`).
        overrides: Flags such as `--data.root=/data/mimic-cxr-jpg`.

    Returns:
        The data module.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it names no data module.
        SystemExit: With 2, if an option is unknown or has a wrong value; with a message, see `find_user_code`.
    """
    find_user_code()
    parser = SuggestingParser(prog="mmpkd", default_env=False)
    parser.add_subclass_arguments(PrivilegedDataModule, "data", required=True)
    parser.add_subclass_arguments(PrivilegedForm, "privileged_form", required=False)
    objects = parser.instantiate_classes(parser.parse_args([*_flags(config), *overrides]))
    module = objects.data
    assert isinstance(module, PrivilegedDataModule)
    if objects.privileged_form is not None:
        module.use_form(objects.privileged_form)
    return module


def _flags(config: Path) -> list[str]:
    """Return what a configuration, and those that it adds to, say of the data, as flags."""
    if not config.is_file():
        raise FileNotFoundError(f"Expected a configuration at '{config}' but there is no such file.")
    flags: list[str] = []
    for file in with_bases(config):
        content = read_settings(file)
        form = content.get("privileged_form")
        flags += [f"--data={data}" for data in _data_of(file, content)]
        flags += [f"--privileged_form={json.dumps(form)}"] if form else []
    if not any(flag.startswith("--data=") for flag in flags):
        raise ValueError(
            f"Expected '{config}' to name a data module, under `data:` or as `class_path:`, but it has neither. Give an "
            "experiment such as experiments/cxr/distill.yaml, or a file of experiments/data/."
        )
    return flags


def _data_of(config: Path, content: Mapping[str, object]) -> list[str]:
    if "class_path" in content:
        return [str(config)]
    data = content.get("data")
    if isinstance(data, str):
        return [str(config.parent / data)]
    return [json.dumps(data)] if isinstance(data, dict) else []
