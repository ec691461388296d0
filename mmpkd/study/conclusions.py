"""What a study concludes: its declared endpoint, its declared family, and what is exploratory."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mmpkd.study.answer import answer, contrast_answer
from mmpkd.study.comparison import Compared, compare
from mmpkd.study.contrast import Contrasted, contrast
from mmpkd.study.hypotheses import holm
from mmpkd.study.plan import Comparison, Factorial, NotComparableError, StudyPlan
from mmpkd.study.results import RunTables


@dataclass(frozen=True)
class Tested:
    """A declared comparison of the family.

    Attributes:
        declared: The comparison.
        found: What it gave, or None.
        reason: Why it gave nothing, or an empty text.
        adjusted: p-value after Holm's correction; NaN where there is none.
        adjusted_equivalence: The same for equivalence, among the members with a margin.
    """

    declared: Comparison
    found: Compared | None
    reason: str
    adjusted: float
    adjusted_equivalence: float


@dataclass(frozen=True)
class Conclusions:
    """All that a study says about its declared questions.

    Attributes:
        sentence: The answer.
        primary: The primary comparison, or None if it is a contrast or there is no answer.
        contrast: The contrast of a factorial design, or None.
        family: The family, corrected for the number of its members.
        exploratory: Comparisons that nobody declared: those behind a contrast.
    """

    sentence: str
    primary: Compared | None
    contrast: Contrasted | None
    family: tuple[Tested, ...]
    exploratory: tuple[Compared, ...]


def conclude(plan: StudyPlan, tables: Sequence[RunTables]) -> Conclusions:
    """Compute all declared questions from the finished runs; one that has no answer says why, and leaves the others theirs.

    Raises:
        StudyError: If arms were tested on different data.
    """
    by_arm = {arm.name: [table for table in tables if table.run.arm.name == arm.name] for arm in plan.students}
    family = _family(plan.family, by_arm)
    if plan.factorial is not None:
        sentence, found, behind = _contrast(plan.factorial, by_arm)
        return Conclusions(sentence, None, found, family, behind)
    assert plan.primary is not None
    primary, reason = _compare(plan.primary, by_arm)
    return Conclusions(reason if primary is None else answer(primary), primary, None, family, ())


def compared_on(plan: StudyPlan, tables: Sequence[RunTables]) -> Compared | None:
    """Return the primary comparison on another data set, or None if there is none or it cannot be made there."""
    if plan.primary is None:
        return None
    names = (plan.primary.arm, plan.primary.reference)
    by_arm = {name: [table for table in tables if table.run.arm.name == name] for name in names}
    return _compare(plan.primary, by_arm)[0]


def _compare(declared: Comparison, by_arm: Mapping[str, Sequence[RunTables]]) -> tuple[Compared | None, str]:
    """Return a comparison, or None and why there is none."""
    reason = _missing((declared.arm, declared.reference), by_arm)
    if reason:
        return None, reason
    try:
        return compare(declared, by_arm[declared.arm], by_arm[declared.reference]), ""
    except NotComparableError as error:
        return None, f"No answer: {error}"


def _contrast(
    declared: Factorial, by_arm: Mapping[str, Sequence[RunTables]]
) -> tuple[str, Contrasted | None, tuple[Compared, ...]]:
    cells = [declared.comparison(domain, form) for domain in declared.domains for form in declared.forms]
    tried = [_compare(cell, by_arm) for cell in cells]
    behind = tuple(found for found, _ in tried if found is not None)
    missing = _missing([name for cell in cells for name in (cell.arm, cell.reference)], by_arm)
    reason = missing or next((reason for _, reason in tried if reason), "")
    if reason:
        return reason, None, behind
    if min(found.num_seeds for found in behind) < 2:
        return "No answer: a contrast between domains needs two seeds or more; see the differences below.", None, behind
    try:
        found = contrast(declared, by_arm)
    except NotComparableError as error:
        return f"No answer: {error}", None, behind
    return contrast_answer(found, behind), found, behind


def _family(family: Sequence[Comparison], by_arm: Mapping[str, Sequence[RunTables]]) -> tuple[Tested, ...]:
    tried = [_compare(own, by_arm) for own in family]
    adjusted = holm([float("nan") if found is None else found.effect.p_value() for found, _ in tried])
    with_margin = [own.margin is not None for own in family]
    equivalence = np.full(len(family), np.nan)
    equivalence[with_margin] = holm(
        [
            float("nan") if found is None else found.equivalence
            for (found, _), has in zip(tried, with_margin, strict=True)
            if has
        ]
    )
    return tuple(
        Tested(own, found, reason, *ps)
        for own, (found, reason), *ps in zip(family, tried, adjusted.tolist(), equivalence.tolist(), strict=True)
    )


def _missing(names: Sequence[str], by_arm: Mapping[str, Sequence[RunTables]]) -> str:
    """Return why arms cannot be compared, or an empty text."""
    absent = [name for name in dict.fromkeys(names) if not by_arm[name]]
    if absent:
        return f"No answer yet: no finished run of {' and '.join(absent)}."
    if all(table.rois is None for name in names for table in by_arm[name]):
        return "No answer: the test split has no regions of interest."
    return ""
