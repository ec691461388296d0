"""The teachers of a domain: their scores on the test set, and their cards from before the distillation."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from data_modules.files.json_file import read_json
from mmpkd.study.analysis.run_tables import RunTables
from mmpkd.study.analysis.scores import ALL
from mmpkd.study.plan.domains import Domain
from mmpkd.study.report.sections.tables import cell


@dataclass(frozen=True)
class TeacherRow:
    """Classification scores of a teacher on the test set.

    Attributes:
        name: Name of the arm.
        auroc: Mean AUROC.
        auprc: Mean AUPRC.
        gap: AUROC minus the AUROC of the reference student.
    """

    name: str
    auroc: float
    auprc: float
    gap: float


@dataclass(frozen=True)
class Card:
    """The card of a teacher, written before any student was distilled from it.

    Attributes:
        teacher: Name of the teacher's arm.
        content: The card.
        test_auroc: Mean AUROC of the same teacher on the test set, or None if it was not tested.
    """

    teacher: str
    content: dict[str, Any]
    test_auroc: float | None

    @property
    def is_far_from_test(self) -> bool:
        """Whether the AUROC on the test set lies outside the interval of the card."""
        auroc = self.content["auroc_macro"]
        if self.test_auroc is None or not isinstance(auroc, dict):  # older cards have no interval
            return False
        if auroc["low"] is None:  # no interval is known
            return bool(self.test_auroc != auroc["value"])
        return not auroc["low"] <= self.test_auroc <= auroc["high"]


def teacher_rows(domain: Domain, results: pd.DataFrame) -> Iterator[TeacherRow]:
    """Yield the teachers of a domain that were tested.

    Args:
        domain: The domain.
        results: Table from `results_table`.
    """
    overall = results[results["finding"] == ALL]
    reference = cell(overall, arm=domain.reference, measure="auroc").mean
    for arm in domain.teachers:
        own = overall[overall["arm"] == arm.name]
        if not own.empty:
            auroc = cell(own, measure="auroc").mean
            yield TeacherRow(arm.name, auroc, cell(own, measure="auprc").mean, auroc - reference)


def cards(tables: Sequence[RunTables], rows: Sequence[TeacherRow]) -> Iterator[Card]:
    """Yield the card of each teacher, from the first seed that was distilled from it.

    Args:
        tables: Runs of students.
        rows: Scores of the teachers on the test set.
    """
    tested = {row.name: row.auroc for row in rows}
    seen: set[str] = set()
    for table in tables:
        path = table.run.record.teacher_card
        teacher = table.run.arm.teacher
        if teacher is not None and teacher not in seen and path.is_file():
            seen.add(teacher)
            yield Card(teacher, read_json(path), tested.get(teacher))
