"""The declared difference by subgroup of the test set."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mmpkd.records.roi_table import strata
from mmpkd.study.analysis.difference import Difference, difference
from mmpkd.study.analysis.pairing import Pairs, pairs_of
from mmpkd.study.analysis.run_tables import RunTables
from mmpkd.study.analysis.scores import ALL
from mmpkd.study.plan.errors import NotComparableError
from mmpkd.study.plan.questions import Average, Comparison, Factorial, Measure
from mmpkd.study.report.figures import Estimate, forest, save
from mmpkd.study.report.sections.pairs import Pair

# findings are shown with the comparison; whether a finding is recognised depends on the training, not on the patient
_NOT_SUBGROUPS = ("finding", "recognised")
_TITLES = {"area": "area of the region", "num_regions": "number of regions"}


@dataclass(frozen=True)
class Subgroups:
    """The difference by one property of regions, images or patients.

    Attributes:
        title: Name of the property.
        rows: Difference for each value of the property, in the order of the values.
        num_unknown: Number of regions with an unknown value; with those of the rows they add up to all regions.
    """

    title: str
    rows: tuple[Difference, ...]
    num_unknown: int


@dataclass(frozen=True)
class SubgroupPart:
    """The part of a report about subgroups.

    Attributes:
        pair: The arms.
        overall: The difference over all regions.
        groups: The difference by each property.
        figure: The differences, as an SVG element.
    """

    pair: Pair
    overall: Difference
    groups: tuple[Subgroups, ...]
    figure: str


def subgroup_part(pair: Pair, declared: Comparison | Factorial, figures: Path, prefix: str) -> SubgroupPart | None:
    """Compute the declared difference by subgroup with intervals, and draw the figure.

    Args:
        pair: The arms.
        declared: The declared endpoint, which says what is compared and averaged.
        figures: Folder of the figures.
        prefix: Test set or domain in the name of the figure, or "".

    Returns:
        The part, or None if the runs have no such scores or no property divides the test set.
    """
    try:
        pairs = pairs_of(pair.arm_runs, pair.reference_runs, declared.measure)
    except NotComparableError:
        return None
    values = _strata_of(pair.reference_runs[0], declared.measure, pairs.index)
    average = declared.average
    # a property with a single value divides nothing
    groups = [_subgroups(name, pairs, column, average) for name, column in values.items() if len(ordered(column)) > 1]
    if not groups:
        return None
    overall = _difference(ALL, pairs, average)
    estimates = [Estimate(f"{ALL} (n = {overall.num_rois})", overall.effect, is_overall=True)]
    for group in groups:
        estimates += [Estimate(f"{group.title}: {row.finding} (n = {row.num_rois})", row.effect) for row in group.rows]
    title = f"Differences by subgroup, with 95 % intervals: {pair.label}"
    figure = save(forest(estimates, pair.label, title), figures / f"{prefix}subgroups_{pair.name}")
    return SubgroupPart(pair, overall, tuple(groups), figure)


def _strata_of(table: RunTables, measure: Measure, index: "pd.Index[Any]") -> dict[str, "pd.Series[str]"]:
    """Return the properties by which paired differences can be divided, in the order of `index`; None for unknown values."""
    rows = table.localization(measure.unit)
    assert rows is not None
    own = rows[rows["attribution"] == measure.attribution].set_index(list(index.names), drop=False)
    own = own.rename_axis([None] * len(index.names))
    return {name: column.reindex(index) for name, column in strata(own).items() if name not in _NOT_SUBGROUPS}


def _subgroups(name: str, pairs: Pairs, column: "pd.Series[str]", average: Average) -> Subgroups:
    rows = [_difference(value, pairs.where((column == value).to_numpy()), average) for value in ordered(column)]
    title = _TITLES.get(name, name.replace("_", " "))
    return Subgroups(title, tuple(rows), int(column.isna().sum()))


def _difference(name: str, pairs: Pairs, average: Average) -> Difference:
    return difference(name, pairs.differences, pairs.regions, average, pairs.findings)


def ordered(column: "pd.Series[str]") -> list[str]:
    """Return the known values of a property in their natural order: thirds by size, numbers by value."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        present = set(column.dropna())
        return [value for value in column.cat.categories if value in present]
    return sorted(map(str, column.dropna().unique()), key=_natural)


def _natural(text: str) -> list[tuple[float, str]]:
    """Return a sort key that puts 9 before 10 and < 40 before 40."""
    parts = re.findall(r"\d+(?:\.\d+)?|\D+", text.lstrip("<>= "))
    key = [(float(part), "") if part[0].isdigit() else (np.inf, part) for part in parts]
    return [*key, (float(not text.startswith("<")), "")]
