"""Everything that a study computes for its declared questions, and for what is exploratory."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from mmpkd.statistics.hypotheses import holm
from mmpkd.study.analysis.comparison import Compared, compare
from mmpkd.study.analysis.contrast import Contrasted, contrast
from mmpkd.study.analysis.run_tables import RunTables, tables_by_arm
from mmpkd.study.plan.study_plan import Comparison, Factorial, NotComparableError, StudyPlan


@dataclass(frozen=True)
class Unanswered:
    """Why a question has no answer.

    Attributes:
        why: An arm has no finished run (`unfinished`), the test split has no region (`no_rois`), a contrast has one seed only
            (`one_seed`), or the runs do not fit together (`not_comparable`).
        arms: The arms without a finished run.
        detail: What does not fit.
    """

    why: Literal["unfinished", "no_rois", "one_seed", "not_comparable"]
    arms: tuple[str, ...] = ()
    detail: str = ""


@dataclass(frozen=True)
class Tested:
    """A declared comparison of the family.

    Attributes:
        declared: The comparison.
        found: What it gave, or why it gave nothing.
        adjusted: p-value after Holm's correction; NaN where there is none.
        adjusted_equivalence: The same for equivalence, among the members with a margin.
    """

    declared: Comparison
    found: Compared | Unanswered
    adjusted: float
    adjusted_equivalence: float


@dataclass(frozen=True)
class Conclusions:
    """Everything that a study computes for its questions.

    Attributes:
        endpoint: What the primary comparison gave, or the contrast of a factorial design, or why there is no answer.
        family: The family, corrected for the number of its members.
        exploratory: Comparisons that nobody declared: those behind a contrast.
    """

    endpoint: Compared | Contrasted | Unanswered
    family: tuple[Tested, ...]
    exploratory: tuple[Compared, ...]

    @property
    def primary(self) -> Compared | None:
        """The primary comparison, or None if it is a contrast or there is no answer."""
        return self.endpoint if isinstance(self.endpoint, Compared) else None

    @property
    def contrast(self) -> Contrasted | None:
        """The contrast of a factorial design, or None."""
        return self.endpoint if isinstance(self.endpoint, Contrasted) else None


def conclude(plan: StudyPlan, tables: Sequence[RunTables]) -> Conclusions:
    """Compute all declared questions from the finished runs; one without an answer says why, and leaves the others theirs.

    Raises:
        StudyError: If arms were tested on different data.
    """
    by_arm = tables_by_arm(tables, [arm.name for arm in plan.students])
    family = _family(plan.family, by_arm)
    if plan.factorial is not None:
        endpoint, behind = _contrast(plan.factorial, by_arm)
        return Conclusions(endpoint, family, behind)
    assert plan.primary is not None
    return Conclusions(_compare(plan.primary, by_arm), family, ())


def compared_on(plan: StudyPlan, tables: Sequence[RunTables]) -> Compared | None:
    """Return the primary comparison on another data set, or None if there is none or it cannot be made there."""
    if plan.primary is None:
        return None
    found = _compare(plan.primary, tables_by_arm(tables, (plan.primary.arm, plan.primary.reference)))
    return found if isinstance(found, Compared) else None


def _compare(declared: Comparison, by_arm: Mapping[str, Sequence[RunTables]]) -> Compared | Unanswered:
    missing = _missing((declared.arm, declared.reference), by_arm)
    if missing is not None:
        return missing
    try:
        return compare(declared, by_arm[declared.arm], by_arm[declared.reference])
    except NotComparableError as error:
        return Unanswered("not_comparable", detail=str(error))


def _contrast(
    declared: Factorial, by_arm: Mapping[str, Sequence[RunTables]]
) -> tuple[Contrasted | Unanswered, tuple[Compared, ...]]:
    """Return the contrast, or why there is none, and the comparisons behind it."""
    tried = [_compare(cell, by_arm) for cell in declared.comparisons]
    behind = tuple(found for found in tried if isinstance(found, Compared))
    names: list[str] = []
    for cell in declared.comparisons:
        names += (cell.arm, cell.reference)
    missing = _missing(names, by_arm)
    unanswered = missing or next((found for found in tried if isinstance(found, Unanswered)), None)
    if unanswered is not None:
        return unanswered, behind
    if min(found.num_seeds for found in behind) < 2:
        return Unanswered("one_seed"), behind
    try:
        return contrast(declared, by_arm), behind
    except NotComparableError as error:
        return Unanswered("not_comparable", detail=str(error)), behind


def _family(family: Sequence[Comparison], by_arm: Mapping[str, Sequence[RunTables]]) -> tuple[Tested, ...]:
    tried = [_compare(own, by_arm) for own in family]
    adjusted = holm([found.effect.p_value() if isinstance(found, Compared) else math.nan for found in tried])
    # equivalence is a family of its own, of the members with a margin
    has_margin = np.array([own.margin is not None for own in family], dtype=np.bool_)
    p_values = np.array([found.equivalence if isinstance(found, Compared) else math.nan for found in tried])
    equivalence = np.full(len(family), np.nan)
    equivalence[has_margin] = holm(p_values[has_margin].tolist())
    members = zip(family, tried, adjusted.tolist(), equivalence.tolist(), strict=True)
    return tuple(Tested(declared, found, p, p_equivalence) for declared, found, p, p_equivalence in members)


def _missing(names: Sequence[str], by_arm: Mapping[str, Sequence[RunTables]]) -> Unanswered | None:
    """Return why arms cannot be compared, or None if they can."""
    absent = tuple(name for name in dict.fromkeys(names) if not by_arm[name])
    if absent:
        return Unanswered("unfinished", absent)
    for name in names:
        if any(table.rois is not None for table in by_arm[name]):
            return None
    return Unanswered("no_rois")
