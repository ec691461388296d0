"""Loading the data module of a configuration, without its model and trainer."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jsonargparse import ActionConfigFile, Namespace

from data_modules.base import PrivilegedDataModule
from data_modules.forms import PrivilegedForm
from mmpkd.cli.parser import SuggestingParser
from mmpkd.cli.short_forms import CONFIG_FLAGS
from mmpkd.cli.user_code import find_user_code
from mmpkd.cli.yaml_file import read_settings, with_bases

_NAMES = ("data", "privileged_form")
# settings of how, and in which order, samples are loaded
_OF_LOADING = ("seed", "batch_size", "num_workers", "cache_images", "augmentation")


def load_data_module(config: Path, overrides: Sequence[str]) -> PrivilegedDataModule:
    """Instantiate the data module of a configuration.

    Args:
        config: An experiment, of which only `data` is used, or a file with only a data module (`experiments/data/*.yaml`).
        overrides: Flags such as `--data.root=/data/mimic-cxr-jpg`.

    Returns:
        The data module.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the configuration has no data module.
        SystemExit: With status 2 if an option is unknown or has a wrong value; with a message, see `find_user_code`.
    """
    return DataSettings.parse([config], overrides).build()


@dataclass(frozen=True)
class DataSettings:
    """Checked settings of a data module and of the form of its privileged information.

    Attributes:
        parser: The parser that parsed them.
        values: The settings.
    """

    parser: SuggestingParser
    values: Namespace

    @classmethod
    def parse(cls, configs: Sequence[Path], overrides: Sequence[str]) -> "DataSettings":
        """Parse settings like the Lightning command line: later files and flags override earlier ones.

        Args:
            configs: Experiments, or files with only a data module.
            overrides: Flags such as `--data.root=/data/mimic-cxr-jpg`, `--data FILE` or `--config FILE`.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If there is no data module.
            SystemExit: With status 2 if an option is unknown or has a wrong value; with a message, see `find_user_code`.
        """
        find_user_code()
        parser = SuggestingParser(prog="mmpkd", default_env=False)
        parser.add_argument("--config", action=ActionConfigFile)
        parser.add_subclass_arguments(PrivilegedDataModule, "data", required=True)
        parser.add_subclass_arguments(PrivilegedForm, "privileged_form", required=False)
        parts = [*(own for config in configs for own in _settings(config)), *_parts(overrides)]
        if not any("data" in part if isinstance(part, dict) else part.split("=")[0] == "--data" for part in parts):
            raise ValueError(
                f"Expected '{configs[0]}' to name a data module, under `data:` or as `class_path:`, but it has neither. Use an "
                "experiment such as experiments/cxr/distill.yaml, or a file in experiments/data/."
            )
        # YAML knows dates, JSON does not
        words = [part if isinstance(part, str) else f"--config={json.dumps(part, default=str)}" for part in parts]
        return cls(parser, parser.parse_args(words))

    def build(self) -> PrivilegedDataModule:
        """Instantiate the data module with the requested form of privileged information."""
        objects = self.parser.instantiate_classes(self.values)
        module = objects.data
        assert isinstance(module, PrivilegedDataModule)
        if objects.privileged_form is not None:
            module.use_form(objects.privileged_form)
        return module

    @property
    def of_samples(self) -> str:
        """All settings that affect which samples there are and what they contain, as text."""
        values = self.values.clone()
        for name in _OF_LOADING:
            values.pop(f"data.init_args.{name}", None)
        return str(self.parser.dump(values))


def _parts(flags: Sequence[str]) -> list[str | dict[str, object]]:
    """Return flags in their order, with what configuration files among them say about data in place of `--config FILE`."""
    parts: list[str | dict[str, object]] = []
    words = iter(flags)
    for word in words:
        name, equals, value = word.partition("=")
        parts += _settings(Path(value if equals else next(words, ""))) if name in CONFIG_FLAGS else [word]
    return parts


def _settings(config: Path) -> list[dict[str, object]]:
    """Return what a configuration file and its bases say about data, in the order in which they are read.

    The parser of data knows neither model nor trainer.
    """
    if not config.is_file():
        raise FileNotFoundError(f"Expected a configuration at '{config}' but there is no such file.")
    return [_of_data(file) for file in with_bases(config)]


def _of_data(config: Path) -> dict[str, object]:
    """Return the data settings of a configuration file, without those of its base."""
    content = read_settings(config)
    if "class_path" in content:
        return {"data": content}
    found = {name: content[name] for name in _NAMES if content.get(name) is not None}
    if isinstance(found.get("data"), str):
        found["data"] = read_settings(config.parent / str(found["data"]))
    return found
