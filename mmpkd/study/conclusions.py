"""What a study concludes: its declared endpoint, its declared family, and what is exploratory."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mmpkd.study.answer import answer, contrast_answer
from mmpkd.study.comparison import Compared, compare
from mmpkd.study.contrast import Contrasted, contrast
from mmpkd.study.hypotheses import holm
from mmpkd.study.plan import Comparison, Factorial, StudyPlan
from mmpkd.study.results import RunTables


@dataclass(frozen=True)
class Tested:
    """A declared comparison of the family.

    Attributes:
        declared: The comparison.
        found: What it gave, or None if an arm has no finished run.
        adjusted: p-value after Holm's correction; NaN where there is none.
    """

    declared: Comparison
    found: Compared | None
    adjusted: float


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
    """Compute all declared questions from the finished runs.

    Raises:
        StudyError: If arms were tested on different data, or lack the declared read-out.
    """
    by_arm = {arm.name: [table for table in tables if table.run.arm.name == arm.name] for arm in plan.students}
    family = _family(plan.family, by_arm)
    if plan.factorial is not None:
        sentence, found, behind = _contrast(plan.factorial, by_arm)
        return Conclusions(sentence, None, found, family, behind)
    assert plan.primary is not None
    missing = _missing((plan.primary.arm, plan.primary.reference), by_arm)
    if missing:
        return Conclusions(missing, None, None, family, ())
    primary = compare(plan.primary, by_arm[plan.primary.arm], by_arm[plan.primary.reference])
    return Conclusions(answer(primary), primary, None, family, ())


def compared_on(plan: StudyPlan, tables: Sequence[RunTables]) -> Compared | None:
    """Return the primary comparison on another data set, or None if there is none or its arms were not tested there."""
    if plan.primary is None:
        return None
    names = (plan.primary.arm, plan.primary.reference)
    by_arm = {name: [table for table in tables if table.run.arm.name == name] for name in names}
    return None if _missing(names, by_arm) else compare(plan.primary, by_arm[names[0]], by_arm[names[1]])


def _contrast(
    declared: Factorial, by_arm: Mapping[str, Sequence[RunTables]]
) -> tuple[str, Contrasted | None, tuple[Compared, ...]]:
    cells = [declared.comparison(domain, form) for domain in declared.domains for form in declared.forms]
    behind = tuple(
        compare(cell, by_arm[cell.arm], by_arm[cell.reference])
        for cell in cells
        if not _missing((cell.arm, cell.reference), by_arm)
    )
    missing = _missing([name for cell in cells for name in (cell.arm, cell.reference)], by_arm)
    if missing:
        return missing, None, behind
    if min(found.num_seeds for found in behind) < 2:
        return "No answer: a contrast between domains needs two seeds or more; see the differences below.", None, behind
    found = contrast(declared, by_arm)
    return contrast_answer(found), found, behind


def _family(family: Sequence[Comparison], by_arm: Mapping[str, Sequence[RunTables]]) -> tuple[Tested, ...]:
    found = [
        None if _missing((own.arm, own.reference), by_arm) else compare(own, by_arm[own.arm], by_arm[own.reference])
        for own in family
    ]
    adjusted = holm([float("nan") if own is None else own.overall.effect.p_value() for own in found])
    return tuple(Tested(*entry) for entry in zip(family, found, adjusted.tolist(), strict=True))


def _missing(names: Sequence[str], by_arm: Mapping[str, Sequence[RunTables]]) -> str:
    """Return why arms cannot be compared, or an empty text."""
    absent = [name for name in dict.fromkeys(names) if not by_arm[name]]
    if absent:
        return f"No answer yet: no finished run of {' and '.join(absent)}."
    if all(table.rois is None for name in names for table in by_arm[name]):
        return "No answer: the test split has no regions of interest."
    return ""
