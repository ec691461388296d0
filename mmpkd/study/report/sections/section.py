"""The part of a report about arms that were tested on the same images."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from mmpkd.study.analysis.run_tables import RunTables
from mmpkd.study.analysis.scores import results_table
from mmpkd.study.plan.domains import Domain
from mmpkd.study.plan.study_plan import StudyPlan
from mmpkd.study.report.names import SCORE_NAMES
from mmpkd.study.report.sections.auroc import AurocPart, auroc_part
from mmpkd.study.report.sections.faithfulness import FaithfulnessRow, faithfulness
from mmpkd.study.report.sections.gallery import Case, gallery
from mmpkd.study.report.sections.learning import LearningPart, learning_part
from mmpkd.study.report.sections.pairs import declared_pairs
from mmpkd.study.report.sections.reliability import ReliabilityPart, reliability_part
from mmpkd.study.report.sections.subgroups import SubgroupPart, subgroup_part
from mmpkd.study.report.sections.tables import (
    MANY_ARMS,
    AttributionGrid,
    Grid,
    arm_grid,
    attribution_grids,
    baseline_grid,
    defined_scores,
)
from mmpkd.study.report.sections.teachers import Card, TeacherRow, cards, teacher_rows


@dataclass(frozen=True)
class Section:
    """The part of a report about one domain.

    Attributes:
        name: Name of the domain, "" if it is the only one.
        arms: Classification and localization by arm.
        baselines: Localization by baseline maps.
        auroc: AUROC by finding of the arms that are compared.
        reliability: Calibration of the arms.
        subgroups: The declared difference by subgroup of the test set.
        faithfulness: Faithfulness of attributions; empty if it was not scored.
        learning: Learning curves, or None if the runs kept none.
        attributions: Localization by attribution, finding and arm.
        teachers: The teachers of the domain.
        cards: Cards of the teachers.
        gallery: Maps of the same images in all arms.
        data: Counts of each split.
        labels: Names of the findings.
        is_credentialed: Whether the images are of patients under a data use agreement.
    """

    name: str
    arms: Grid
    baselines: Grid
    auroc: tuple[AurocPart, ...]
    reliability: ReliabilityPart
    subgroups: tuple[SubgroupPart, ...]
    faithfulness: tuple[FaithfulnessRow, ...]
    learning: LearningPart | None
    attributions: tuple[AttributionGrid, ...]
    teachers: tuple[TeacherRow, ...]
    cards: tuple[Card, ...]
    gallery: tuple[Case, ...]
    data: pd.DataFrame
    labels: tuple[str, ...]
    is_credentialed: bool


def section(plan: StudyPlan, domain: Domain, tables: Sequence[RunTables], figures: Path) -> Section | None:
    """Compute the parts of a domain and draw their figures.

    Args:
        plan: The study.
        domain: The domain.
        tables: Finished runs on one test set.
        figures: Folder of the figures.

    Returns:
        The section, or None if no student of the domain is finished.
    """
    names = [arm.name for arm in domain.students]
    students = [table for table in tables if table.run.arm.name in names]
    if not students:
        return None
    results = results_table(tables)
    local = results[results["arm"].isin(names)]
    present = [arm for arm in domain.students if arm.name in set(local["arm"])]
    # the declared score first; sorting is stable, so the others keep their order
    scores = sorted(defined_scores(local, list(SCORE_NAMES)), key=lambda name: name != plan.measure.score)
    pairs = list(declared_pairs(plan, domain, students))
    compared = {name for pair in pairs for name in (pair.arm, pair.reference)}
    shown = [arm.name for arm in present if len(present) <= MANY_ARMS or arm.name in compared]
    teachers = tuple(teacher_rows(domain, results))
    learners = [*shown, *(arm.name for arm in domain.teachers)]
    prefix = f"{domain.name}_" if domain.name else ""
    subgroups = [subgroup_part(pair, plan.endpoint, figures, prefix) for pair in pairs]
    return Section(
        name=domain.name,
        arms=arm_grid(present, local, plan.measure, scores),
        baselines=baseline_grid(domain.reference, local, plan.measure.unit, scores),
        auroc=tuple(auroc_part(pair, figures, prefix) for pair in pairs),
        reliability=reliability_part(students, shown, figures, prefix),
        subgroups=tuple(part for part in subgroups if part is not None),
        faithfulness=tuple(faithfulness(students, shown)),
        learning=learning_part(tables, learners, figures, prefix),
        attributions=_attributions(plan, local, [arm.name for arm in present], compared),
        teachers=teachers,
        cards=tuple(cards(students, teachers)),
        gallery=gallery(students),
        data=_data(students[0]),
        labels=_labels(students),
        is_credentialed=any(table.test.license == "credentialed" for table in students),
    )


def _attributions(
    plan: StudyPlan, results: pd.DataFrame, arms: Sequence[str], compared: set[str]
) -> tuple[AttributionGrid, ...]:
    """Return localization by attribution, starting with the declared one."""
    grids = attribution_grids(results, arms, compared)
    return tuple(sorted(grids, key=lambda own: own.attribution != plan.measure.attribution))


def _data(table: RunTables) -> pd.DataFrame:
    """Return the counts of each split, with a row per count and a column per split."""
    data = table.test.data
    return pd.DataFrame(data).reindex(columns=[name for name in ("train", "val", "test") if name in data])


def _labels(tables: Sequence[RunTables]) -> tuple[str, ...]:
    names: set[str] = set()
    for table in tables:
        names.update(table.test.label_names)
    return tuple(sorted(names))
