"""A clean data set of 42 images, to break in one way a test."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np

from data_modules.base import License, PrivilegedDataModule
from data_modules.checks import DataReport, Problem, check_data
from data_modules.images.image_file import GreyRange
from data_modules.split import Split, Table
from tests.tiny import NAMES, write_tiny


class Given(PrivilegedDataModule):
    """Splits that a test made, unchecked."""

    license: ClassVar[License] = "synthetic"

    def __init__(
        self, splits: Mapping[str, Split], prepared: Path | None = None, grey_range: GreyRange = "observed"
    ) -> None:
        super().__init__(NAMES, image_size=32, prepared=prepared, grey_range=grey_range)
        self.given = splits

    def read_splits(self) -> Mapping[str, Split]:
        return self.given


def clean_splits(root: Path) -> dict[str, Split]:
    """Write images; the privileged columns follow the labels, but not all the way."""
    splits = write_tiny(root, {"train": 20, "val": 10, "test": 12})
    rng = np.random.default_rng(0)
    for name, split in splits.items():
        table = split.table
        assert isinstance(table, Table)
        numeric = table.numeric + rng.standard_normal(table.numeric.shape).astype(np.float32)
        hot = np.roll(table.categorical, 3, axis=0)
        splits[name] = replace(split, table=replace(table, numeric=numeric, categorical=hot))
    return splits


def check(splits: Mapping[str, Split], max_images: int | None = None, deep: bool = False) -> DataReport:
    return check_data(Given(splits), max_images, num_workers=0, deep=deep)


def check_declared(splits: Mapping[str, Split]) -> DataReport:
    """Check images that are read on the scale that their files declare."""
    return check_data(Given(splits, grey_range="declared"), None, num_workers=0)


def only(report: DataReport) -> Problem:
    """Return the one problem that there is."""
    (found,) = report.problems
    return found


def problem(report: DataReport) -> tuple[str, str, str, int]:
    found = only(report)
    return found.severity, found.check, found.split, found.count
