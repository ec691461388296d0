"""Whether the names of arms in a study are those of arms, and of the right ones."""

from collections.abc import Iterator

from data_modules.suggestion import did_you_mean
from mmpkd.study.plan.domains import domain_of
from mmpkd.study.plan.study_plan import StudyError, StudyPlan


def check_references(plan: StudyPlan) -> None:
    """Check the arms that a plan refers to by name.

    Raises:
        StudyError: If a teacher, or an arm that is compared or tested elsewhere, is none of the plan, or a factorial design
            does not have each student arm once.
    """
    _check_teachers(plan)
    students = [arm.name for arm in plan.students]
    for where, name in _compared(plan):
        if name not in students:
            raise StudyError(
                f"{where}: expected one of the student arms {students} but got {name!r}.{did_you_mean(name, students)}"
            )
    if plan.factorial is not None:
        _check_design(plan, plan.factorial.arms, students)


def _check_teachers(plan: StudyPlan) -> None:
    """Check that each student is distilled from an arm that is trained before it."""
    known = [arm.name for arm in plan.teachers]
    for arm in plan.students:
        if arm.teacher is not None and arm.teacher not in known:
            raise StudyError(
                f"arms.{arm.name}: expected `teacher` to be a teacher arm, or a student arm that is listed before it, "
                f"{known}, but got {arm.teacher!r}.{did_you_mean(arm.teacher, known)}"
            )
        known.append(arm.name)


def _compared(plan: StudyPlan) -> Iterator[tuple[str, str]]:
    """Yield the student arms that a plan names, each with the place where it does."""
    for comparison in plan.family:
        yield "family", comparison.arm
        yield "family", comparison.reference
    for external in plan.external:
        for name in external.arms:
            yield f"external.{external.name}", name
    if plan.primary is not None:
        yield "primary.arm", plan.primary.arm
        yield "primary.reference", plan.primary.reference
    if plan.factorial is not None:
        for name in plan.factorial.arms:
            yield "factorial.domains", name


def _check_design(plan: StudyPlan, used: list[str], students: list[str]) -> None:
    if sorted(used) != sorted(students):
        raise StudyError(f"factorial.domains: expected every student arm {students} once but got {used}.")
    for comparison in plan.family:
        if domain_of(plan, comparison.arm) != domain_of(plan, comparison.reference):
            raise StudyError(
                f"family: expected two arms of one domain but got {comparison.arm!r} and {comparison.reference!r}: they are "
                "tested on different images."
            )
