"""The data module of a configuration, without its model and trainer."""

import json
from collections.abc import Sequence
from pathlib import Path

import yaml

from data_modules.base import PrivilegedDataModule
from mmpkd.suggestions import SuggestingParser


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
        SystemExit: With 2, if an option is unknown or has a wrong value.
    """
    parser = SuggestingParser(prog="mmpkd", default_env=False)
    parser.add_subclass_arguments(PrivilegedDataModule, "data", required=True)
    options = parser.parse_args([f"--data={_data_of(config)}", *overrides])
    module = parser.instantiate_classes(options).data
    assert isinstance(module, PrivilegedDataModule)
    return module


def _data_of(config: Path) -> str:
    if not config.is_file():
        raise FileNotFoundError(f"Expected a configuration at '{config}' but there is no such file.")
    content = yaml.safe_load(config.read_text())
    if isinstance(content, dict) and "class_path" in content:
        return str(config)
    data = content.get("data") if isinstance(content, dict) else None
    if isinstance(data, str):
        return str(config.parent / data)
    if isinstance(data, dict):
        return json.dumps(data)
    raise ValueError(
        f"Expected '{config}' to name a data module, under `data:` or as `class_path:`, but it has neither. Give an "
        "experiment such as experiments/cxr/distill.yaml, or a file of experiments/data/."
    )
