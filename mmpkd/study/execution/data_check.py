"""A check of a study's data, once before its first run."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mmpkd.callbacks.data_check import check_served_data
from mmpkd.cli.data_config import DataSettings
from mmpkd.study.execution.run import Run

# keys of a configuration that determine which data a run reads
NAMES = ("data", "privileged_form")
logger = logging.getLogger("mmpkd")


def check_data_of(runs: Sequence[Run]) -> None:
    """Check the data of runs before they are made, each data set once, without opening images.

    Args:
        runs: Runs to make.

    Raises:
        ValueError: If the data have errors.
        SystemExit: With status 2, if an option is unknown or has a wrong value.
    """
    different: dict[tuple[str, str, bool], tuple[DataSettings, Run]] = {}
    for arguments, run in _by_arguments(runs).items():
        settings = DataSettings.parse(arguments.configs, arguments.flags)
        # arms that differ only in model or loading have the same samples
        different.setdefault((settings.of_samples, arguments.role, arguments.is_external), (settings, run))
    for settings, run in different.values():
        logger.info("checking the data of %s%s", run.arm.name, f" on {run.test_set}" if run.test_set else "")
        data = settings.build()
        # a teacher needs no image, and its input is checked with its own run; other data sets are only tested on
        is_teacher = run.arm.role == "teacher"
        data.serve(load_images=not is_teacher, load_privileged=is_teacher)
        check_served_data(data, splits=("test",) if run.test_set else ("train", "val", "test"))


@dataclass(frozen=True)
class DataArguments:
    """Configuration files and flags that determine which data a run reads, and how it uses them."""

    configs: tuple[Path, ...]
    flags: tuple[str, ...]
    role: str
    is_external: bool


def _by_arguments(runs: Sequence[Run]) -> dict[DataArguments, Run]:
    """Return the first run for each set of arguments that names the data."""
    found: dict[DataArguments, Run] = {}
    for run in runs:
        found.setdefault(data_arguments(run), run)
    return found


def data_arguments(run: Run) -> DataArguments:
    """Return the arguments of a run that name its data."""
    configs = list(run.arm.config)
    flags: list[str] = []
    for flag in run.overrides:
        if flag.config is not None:
            configs.append(flag.config)
        elif flag.name.split(".")[0] in NAMES:
            flags += flag.words
    if run.external is not None:
        flags += ["--data", str(run.external.data), *run.external.overrides]
    return DataArguments(tuple(configs), tuple(flags), run.arm.role, run.external is not None)
