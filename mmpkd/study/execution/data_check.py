"""The data of a study are checked once, before its first run."""

import logging
from collections.abc import Sequence
from pathlib import Path

from mmpkd.callbacks.data_check import check_served_data
from mmpkd.cli.data_config import DataSettings, data_arguments
from mmpkd.study.execution.run import Run

logger = logging.getLogger("mmpkd")


def check_data_of(runs: Sequence[Run]) -> None:
    """Check the data of runs that are to be made, each data set once; no image is opened.

    Args:
        runs: The runs.

    Raises:
        ValueError: If there are errors.
        SystemExit: With 2, if an option is unknown or has a wrong value.
    """
    different: dict[str, tuple[DataSettings, Run]] = {}
    for (configs, flags), run in _by_arguments(runs).items():
        settings = DataSettings.parse(configs, flags)
        different.setdefault(settings.of_samples, (settings, run))
    for settings, run in different.values():
        logger.info("checks the data of %s%s", run.arm.name, f" on {run.test_set}" if run.test_set else "")
        check_served_data(settings.build())


def _by_arguments(runs: Sequence[Run]) -> dict[tuple[tuple[Path, ...], tuple[str, ...]], Run]:
    """Return the first run of each way in which the data are named."""
    found: dict[tuple[tuple[Path, ...], tuple[str, ...]], Run] = {}
    for run in runs:
        configs, flags = data_arguments(run.flags)
        found.setdefault((tuple(configs), tuple(flags)), run)
    return found
