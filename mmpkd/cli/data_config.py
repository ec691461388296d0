"""The data module of a configuration, without its model and trainer."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from data_modules.base import PrivilegedDataModule
from data_modules.forms import PrivilegedForm
from mmpkd.cli.parser import SuggestingParser
from mmpkd.cli.user_code import find_user_code
from mmpkd.cli.yaml_file import read_settings


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
    content = _read(config)
    form = content.get("privileged_form")
    flags = [f"--data={_data_of(config, content)}", *([f"--privileged_form={json.dumps(form)}"] if form else [])]
    objects = parser.instantiate_classes(parser.parse_args([*flags, *overrides]))
    module = objects.data
    assert isinstance(module, PrivilegedDataModule)
    if objects.privileged_form is not None:
        module.use_form(objects.privileged_form)
    return module


def _read(config: Path) -> dict[str, object]:
    if not config.is_file():
        raise FileNotFoundError(f"Expected a configuration at '{config}' but there is no such file.")
    return read_settings(config)


def _data_of(config: Path, content: Mapping[str, object]) -> str:
    if "class_path" in content:
        return str(config)
    data = content.get("data")
    if isinstance(data, str):
        return str(config.parent / data)
    if isinstance(data, dict):
        return json.dumps(data)
    raise ValueError(
        f"Expected '{config}' to name a data module, under `data:` or as `class_path:`, but it has neither. Give an "
        "experiment such as experiments/cxr/distill.yaml, or a file of experiments/data/."
    )
