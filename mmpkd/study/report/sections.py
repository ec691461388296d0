"""The part of a report about arms that were tested on the same images."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from data_modules.files.json_file import read_json
from mmpkd.records.roi_table import stratified
from mmpkd.study.analysis.run_tables import RunTables
from mmpkd.study.analysis.scores import ALL, results_table
from mmpkd.study.plan.domains import Domain
from mmpkd.study.plan.questions import Measure
from mmpkd.study.plan.study_plan import StudyPlan
from mmpkd.study.report.gallery import Case, gallery
from mmpkd.study.report.names import SCORE_NAMES
from mmpkd.study.report.tables import (
    AttributionGrid,
    Grid,
    arm_grid,
    attribution_grids,
    baseline_grid,
    cell,
    defined_scores,
)


@dataclass(frozen=True)
class StratumRow:
    """The declared score in a part of the ROIs.

    Attributes:
        stratum: What the ROIs are broken down by.
        value: The value that these have.
        num_rois: Their number in a run, its mean where it depends on the run.
        means: Mean score over ROIs and seeds, one an arm.
    """

    stratum: str
    value: str
    num_rois: int
    means: tuple[float, ...]


@dataclass(frozen=True)
class TeacherRow:
    """How well a teacher recognises findings of the test set.

    Attributes:
        name: Name of the arm.
        auroc: Mean AUROC.
        auprc: Mean AUPRC.
        gap: AUROC minus that of the reference student.
    """

    name: str
    auroc: float
    auprc: float
    gap: float


@dataclass(frozen=True)
class Card:
    """The card of a teacher, made before an arm was distilled from it.

    Attributes:
        teacher: Name of the teacher's arm.
        content: The card.
    """

    teacher: str
    content: dict[str, Any]


@dataclass(frozen=True)
class Section:
    """The part of a report about one domain.

    Attributes:
        name: Name of the domain, "" if it is the only one.
        arms: Classification and localization by arm.
        baselines: Localization by maps that see no student.
        attributions: Localization by attribution, finding and arm.
        strata: The declared score by what results can be broken down by.
        teachers: The teachers of the domain.
        cards: Their cards.
        gallery: Maps of the same images in all arms.
        data: What each split holds.
        labels: Names of the findings.
        students: Names of the student arms.
    """

    name: str
    arms: Grid
    baselines: Grid
    attributions: tuple[AttributionGrid, ...]
    strata: tuple[StratumRow, ...]
    teachers: tuple[TeacherRow, ...]
    cards: tuple[Card, ...]
    gallery: tuple[Case, ...]
    data: pd.DataFrame
    labels: tuple[str, ...]
    students: tuple[str, ...]


def section(plan: StudyPlan, domain: Domain, tables: Sequence[RunTables]) -> Section | None:
    """Return the tables of a domain, or None if no student of it is finished.

    Args:
        plan: The study.
        domain: The domain.
        tables: Finished runs on one test set.
    """
    names = [arm.name for arm in domain.students]
    students = [table for table in tables if table.run.arm.name in names]
    if not students:
        return None
    results = results_table(tables)
    local = results[results["arm"].isin(names)]
    present = [arm for arm in domain.students if arm.name in set(local["arm"])]
    shown = tuple(arm.name for arm in present)
    scores = sorted(defined_scores(local, list(SCORE_NAMES)), key=lambda name: name != plan.measure.score)
    return Section(
        name=domain.name,
        arms=arm_grid(present, local, plan.measure.attribution, scores),
        baselines=baseline_grid(domain.reference, local, scores),
        attributions=_attributions(plan, domain, local, shown),
        strata=tuple(_strata(students, shown, plan.measure)),
        teachers=tuple(_teachers(domain, results)),
        cards=tuple(_cards(students)),
        gallery=gallery(students),
        data=_data(students[0]),
        labels=_labels(students),
        students=shown,
    )


def _attributions(
    plan: StudyPlan, domain: Domain, results: pd.DataFrame, arms: Sequence[str]
) -> tuple[AttributionGrid, ...]:
    """Return localization by attribution, that of the declared endpoint first."""
    compared = {arm.name for arm in domain.students}
    if plan.primary is not None:
        compared = {plan.primary.arm, plan.primary.reference}
    grids = attribution_grids(results, arms, compared)
    return tuple(sorted(grids, key=lambda own: own.attribution != plan.measure.attribution))


def _strata(tables: Sequence[RunTables], arms: Sequence[str], measure: Measure) -> Iterator[StratumRow]:
    """Yield mean scores over ROIs and seeds, and the number of ROIs of a run."""
    parts = []
    for table in tables:
        if table.rois is None or measure.score not in table.scores:
            continue
        own = table.rois[table.rois["attribution"] == measure.attribution]
        if not own.empty:
            parts.append(stratified(own).assign(arm=table.run.arm.name))
    if not parts:
        return
    for (stratum, value), rows in pd.concat(parts).groupby(["stratum", "value"], sort=False):
        means = rows.groupby("arm")[measure.score].mean()
        of_arms = tuple(means.get(arm, float("nan")) for arm in arms)
        yield StratumRow(str(stratum), str(value), round(rows["num_roi"].mean()), of_arms)


def _teachers(domain: Domain, results: pd.DataFrame) -> Iterator[TeacherRow]:
    overall = results[results["finding"] == ALL]
    reference = cell(overall, arm=domain.reference, measure="auroc").mean
    for arm in domain.teachers:
        own = overall[overall["arm"] == arm.name]
        if not own.empty:
            auroc = cell(own, measure="auroc").mean
            yield TeacherRow(arm.name, auroc, cell(own, measure="auprc").mean, auroc - reference)


def _cards(tables: Sequence[RunTables]) -> Iterator[Card]:
    """Yield the card of each teacher, from the first seed that is distilled from it."""
    seen: set[str] = set()
    for table in tables:
        path = table.run.record.teacher_card
        teacher = table.run.arm.teacher
        if teacher is not None and teacher not in seen and path.is_file():
            seen.add(teacher)
            yield Card(teacher, read_json(path))


def _data(table: RunTables) -> pd.DataFrame:
    """Return what each split holds, rows by count and columns by split."""
    data = table.test.data
    return pd.DataFrame(data).reindex(columns=[name for name in ("train", "val", "test") if name in data])


def _labels(tables: Sequence[RunTables]) -> tuple[str, ...]:
    names: set[str] = set()
    for table in tables:
        names.update(table.test.label_names)
    return tuple(sorted(names))
