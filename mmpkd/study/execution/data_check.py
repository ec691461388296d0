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


def check_data_of(runs: Sequence[Run]) -> dict[Path, str]:
    """Check the data of runs before they are made, each data set once, without opening images.

    Args:
        runs: Runs to make.

    Returns:
        Fingerprint of the training split that each student is going to be trained on, by the folder of its run.

    Raises:
        ValueError: If the data have errors.
        SystemExit: With status 2, if an option is unknown or has a wrong value.
    """
    fingerprints: dict[tuple[str, str, bool], str] = {}
    found: dict[Path, str] = {}
    # most warnings hold for teachers and students; of another data set, the same words say something else
    said: dict[str, set[str]] = {}
    for arguments, group in _by_arguments(runs).items():
        settings = DataSettings.parse(arguments.configs, arguments.flags)
        # arms that differ only in model or loading have the same samples
        key = settings.of_samples, arguments.role, arguments.is_external
        if key not in fingerprints:
            fingerprints[key] = _checked(settings, group[0], said.setdefault(group[0].test_set, set()))
        found |= {run.folder: fingerprints[key] for run in group if run.external is None and run.arm.role == "student"}
    return found


def _checked(settings: DataSettings, run: Run, said: set[str]) -> str:
    """Check the data of a run, and return the fingerprint of the training split; "" if nothing is trained."""
    logger.info("checking the data of %s%s", run.arm.name, f" on {run.test_set}" if run.test_set else "")
    data = settings.build()
    # a teacher needs no image, and its input is checked with its own run; other data sets are only tested on
    is_teacher = run.arm.role == "teacher"
    data.serve(load_images=not is_teacher, load_privileged=is_teacher)
    check_served_data(data, splits=("test",) if run.test_set else ("train", "val", "test"), said=said)
    return "" if run.test_set else data.splits["train"].fingerprint()


@dataclass(frozen=True)
class DataArguments:
    """Configuration files and flags that determine which data a run reads, and how it uses them.

    Attributes:
        configs: Configuration files of the arm.
        flags: Flags after them, in their order, which decides; there may be further files among them.
        role: Whether it trains a teacher or a student.
        is_external: Whether it only tests on another data set.
    """

    configs: tuple[Path, ...]
    flags: tuple[str, ...]
    role: str
    is_external: bool


def _by_arguments(runs: Sequence[Run]) -> dict[DataArguments, list[Run]]:
    """Return the runs for each set of arguments that names the data."""
    found: dict[DataArguments, list[Run]] = {}
    for run in runs:
        found.setdefault(data_arguments(run), []).append(run)
    return found


def data_arguments(run: Run) -> DataArguments:
    """Return the arguments of a run that name its data."""
    flags: list[str] = []
    for flag in run.overrides:
        if flag.config is not None or flag.name.split(".")[0] in NAMES:
            flags += flag.words
    if run.external is not None:
        flags += ["--data", str(run.external.data), *run.external.overrides]
    return DataArguments(run.arm.config, tuple(flags), run.arm.role, run.external is not None)
