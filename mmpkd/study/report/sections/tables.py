"""Scores over the seeds of an arm, as tables of a report."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd

from mmpkd.records.unit import Unit
from mmpkd.study.analysis.scores import ALL
from mmpkd.study.plan.questions import Measure
from mmpkd.study.plan.study_plan import Arm
from mmpkd.study.report.names import BASELINE_TITLES, CLASSIFICATION_NAMES, SCORE_NAMES

# with more arms than this, single findings are shown only for the compared arms
MANY_ARMS = 4


@dataclass(frozen=True)
class Cell:
    """A score over the seeds of an arm.

    Attributes:
        mean: Mean over seeds.
        sd: Standard deviation between seeds, or None for one seed.
    """

    mean: float
    sd: float | None


@dataclass(frozen=True)
class Row:
    """A row of a table.

    Attributes:
        name: Name of the arm, or of the baseline map.
        note: Text after the name, or "".
        cells: One score per column.
    """

    name: str
    note: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Grid:
    """A table.

    Attributes:
        columns: Names of the scores.
        rows: Rows from top to bottom.
    """

    columns: tuple[str, ...]
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class FindingRow:
    """Localization of a finding by an arm.

    Attributes:
        finding: Finding, or `all`.
        arm: Name of the arm.
        cells: One score per column.
    """

    finding: str
    arm: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class AttributionGrid:
    """Localization by one attribution.

    Attributes:
        attribution: Name of the attribution.
        columns: Names of the scores.
        rows: Findings and arms.
    """

    attribution: str
    columns: tuple[str, ...]
    rows: tuple[FindingRow, ...]


def cell(results: pd.DataFrame, **wanted: str) -> Cell:
    """Return a score over seeds.

    Args:
        results: Table from `results_table`.
        wanted: Values of some columns that leave one row per seed.
    """
    for column, value in wanted.items():
        results = results[results[column] == value]
    values = results["value"]
    return Cell(float(values.mean()), float(values.std(ddof=1)) if len(values) > 1 else None)


def defined_scores(results: pd.DataFrame, measures: Sequence[str]) -> list[str]:
    """Return the measures that have a value, in the order given."""
    known = set(results.loc[results["value"].notna(), "measure"])
    return [name for name in measures if name in known]


def arm_grid(arms: Sequence[Arm], results: pd.DataFrame, measure: Measure, scores: Sequence[str]) -> Grid:
    """Return the classification scores of each arm, and its localization scores by one attribution and in one unit."""
    measured = defined_scores(results, list(CLASSIFICATION_NAMES))
    rows = []
    for arm in arms:
        own = results[(results["arm"] == arm.name) & (results["finding"] == ALL)]
        cells = [cell(own, measure=name) for name in measured]
        cells += [cell(own, measure=name, attribution=measure.attribution, unit=measure.unit) for name in scores]
        rows.append(Row(arm.name, _note(arm, own["seed"].nunique()), tuple(cells)))
    columns = [*(CLASSIFICATION_NAMES[name] for name in measured), *(SCORE_NAMES[name] for name in scores)]
    return Grid(tuple(columns), tuple(rows))


def _note(arm: Arm, num_seeds: int) -> str:
    seeds = "1 seed" if num_seeds == 1 else f"{num_seeds} seeds"
    return f"{seeds}, from {arm.teacher}" if arm.teacher else seeds


def baseline_grid(reference: str, results: pd.DataFrame, unit: Unit, scores: Sequence[str]) -> Grid:
    """Return the scores of baseline maps in one unit, from one arm: they do not depend on the student."""
    own = results[(results["arm"] == reference) & (results["finding"] == ALL) & (results["unit"] == unit)]
    rows = []
    for name, title in BASELINE_TITLES.items():
        if name in set(own["attribution"]):
            means = [cell(own, measure=score, attribution=name).mean for score in scores]
            rows.append(Row(title, "", tuple(Cell(mean, None) for mean in means)))
    return Grid(tuple(SCORE_NAMES[name] for name in scores), tuple(rows))


def attribution_grids(results: pd.DataFrame, arms: Sequence[str], compared: set[str]) -> Iterator[AttributionGrid]:
    """Yield localization against the regions of findings by finding and arm, for each attribution that is no baseline map.

    Args:
        results: Table from `results_table`.
        arms: Student arms.
        compared: Arms that are part of a comparison.
    """
    of_students = ~results["attribution"].isin(["", *BASELINE_TITLES]) & (results["unit"] == "finding")
    local = results[of_students & (results["num"] > 0)]
    for attribution, own in local.groupby("attribution", sort=True):
        scores = defined_scores(own, list(SCORE_NAMES))
        findings = sorted(set(own["finding"]) - {ALL})
        rows = _finding_rows(own, ALL, arms, scores)
        if len(findings) > 1:  # the rows of a single finding would repeat those of `all`
            shown = [arm for arm in arms if len(arms) <= MANY_ARMS or arm in compared]
            for finding in findings:
                rows += _finding_rows(own, finding, shown, scores)
        yield AttributionGrid(str(attribution), tuple(SCORE_NAMES[name] for name in scores), tuple(rows))


def _finding_rows(results: pd.DataFrame, finding: str, arms: Sequence[str], scores: Sequence[str]) -> list[FindingRow]:
    rows = []
    for arm in arms:
        cells = [cell(results, arm=arm, finding=finding, measure=score) for score in scores]
        rows.append(FindingRow(finding, arm, tuple(cells)))
    return rows
