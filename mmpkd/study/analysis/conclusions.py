"""The conclusions of a study: answers to its declared questions, and exploratory comparisons."""

from collections.abc import Mapping, Sequence

from mmpkd.study.analysis.answers import Conclusions, Unanswered, corrected
from mmpkd.study.analysis.comparison import Compared, compare
from mmpkd.study.analysis.contrast import Contrasted, contrast
from mmpkd.study.analysis.progress import Progress
from mmpkd.study.analysis.run_tables import RunTables, tables_by_arm
from mmpkd.study.plan.errors import NotComparableError
from mmpkd.study.plan.questions import Comparison, Factorial
from mmpkd.study.plan.study_plan import StudyPlan


def conclude(plan: StudyPlan, tables: Sequence[RunTables], progress: Progress | None = None) -> Conclusions:
    """Answer all declared questions from the finished runs. If one has no answer, the others are still answered.

    Args:
        plan: The study.
        tables: Its finished runs.
        progress: Planned seeds and failed runs; by default, the seeds of the plan.

    Raises:
        StudyError: If arms were tested on different data.
    """
    by_arm = tables_by_arm(tables, [arm.name for arm in plan.students])
    progress = progress or Progress(plan.seeds, plan.looks)
    if plan.factorial is not None:
        endpoint, behind = _contrast(plan.factorial, by_arm, progress)
        tried = [_compare(own, by_arm, progress) for own in plan.family]
        return corrected(plan, endpoint, tried, behind, progress)
    assert plan.primary is not None
    first, *tried = [_compare(own, by_arm, progress) for own in (plan.primary, *plan.family)]
    return corrected(plan, first, tried, (), progress)


def compared_on(plan: StudyPlan, tables: Sequence[RunTables], progress: Progress) -> Compared | None:
    """Return the primary comparison on another data set; None if the study declares none or it cannot be made there."""
    if plan.primary is None:
        return None
    by_arm = tables_by_arm(tables, (plan.primary.arm, plan.primary.reference))
    found = _compare(plan.primary, by_arm, progress)
    return found if isinstance(found, Compared) else None


def _compare(
    declared: Comparison, by_arm: Mapping[str, Sequence[RunTables]], progress: Progress
) -> Compared | Unanswered:
    missing = _missing((declared.arm, declared.reference), by_arm)
    if missing is not None:
        return missing
    try:
        return compare(declared, by_arm[declared.arm], by_arm[declared.reference], progress)
    except NotComparableError as error:
        return Unanswered("not_comparable", detail=str(error))


def _contrast(
    declared: Factorial, by_arm: Mapping[str, Sequence[RunTables]], progress: Progress
) -> tuple[Contrasted | Unanswered, tuple[Compared, ...]]:
    """Return the contrast, or why there is none, and the comparisons that it is computed from."""
    tried = [_compare(cell, by_arm, progress) for cell in declared.comparisons]
    behind = tuple(found for found in tried if isinstance(found, Compared))
    names: list[str] = []
    for cell in declared.comparisons:
        names += (cell.arm, cell.reference)
    missing = _missing(names, by_arm)
    unanswered = missing or next((found for found in tried if isinstance(found, Unanswered)), None)
    if unanswered is not None:
        return unanswered, behind
    # the variance of a contrast needs a spread over seeds
    if min(found.num_seeds for found in behind) < 2:
        return Unanswered("one_seed"), behind
    try:
        return contrast(declared, by_arm, behind, progress), behind
    except NotComparableError as error:
        return Unanswered("not_comparable", detail=str(error)), behind


def _missing(names: Sequence[str], by_arm: Mapping[str, Sequence[RunTables]]) -> Unanswered | None:
    """Return why arms cannot be compared, or None if they can."""
    absent = tuple(name for name in dict.fromkeys(names) if not by_arm[name])
    if absent:
        return Unanswered("unfinished", absent)
    for name in names:
        # regions in one arm are enough to go on: `compare` says why the other has no scores
        if any(table.rois is not None for table in by_arm[name]):
            return None
    return Unanswered("no_rois")
