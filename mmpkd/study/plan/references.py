"""Checks of the names in a study: arms that exist, and attributions that suit the unit."""

from collections.abc import Iterator

from data_modules.suggestion import did_you_mean
from mmpkd.study.plan.domains import domain_of, domains
from mmpkd.study.plan.errors import StudyError
from mmpkd.study.plan.questions import Factorial, Measure
from mmpkd.study.plan.study_plan import External, StudyPlan

# attributions with a map for each finding; listed here because importing their classes takes seconds
FINDING_MAPS = ("grad_cam", "mean_roi", "relevance")

_NOT_IN_A_LINK = "/\\#?%"


def check_references(plan: StudyPlan) -> None:
    """Check the arms and attributions that a plan refers to by name.

    Raises:
        StudyError: If an arm is not in the plan, if a factorial design does not use each student arm once, if another data set
            has arms of two domains or the name of one, or if an attribution with a map for each finding should be scored against
            all regions of an image.
    """
    _check_teachers(plan)
    students = [arm.name for arm in plan.students]
    for where, name in _compared(plan):
        if name not in students:
            raise StudyError(
                f"{where}: expected one of the student arms {students} but got {name!r}.{did_you_mean(name, students)}"
            )
    if plan.factorial is not None:
        _check_names(plan.factorial)
        _check_design(plan, plan.factorial.arms, students)
    for external in plan.external:
        _check_external(plan, external)
    for where, measure in _measures(plan):
        _check_unit(where, measure)


def _check_teachers(plan: StudyPlan) -> None:
    """Check that each student is distilled from an arm that is trained before it."""
    # teachers are trained before all students, and students in the order of the file
    known = [arm.name for arm in plan.teachers]
    for arm in plan.students:
        if arm.teacher is not None and arm.teacher not in known:
            raise StudyError(
                f"arms.{arm.name}: expected `teacher` to be a teacher arm, or a student arm that is listed before it, "
                f"{known}, but got {arm.teacher!r}.{did_you_mean(arm.teacher, known)}"
            )
        known.append(arm.name)


def _compared(plan: StudyPlan) -> Iterator[tuple[str, str]]:
    """Yield the student arms that a plan names, each with the place where it is named."""
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


def _measures(plan: StudyPlan) -> Iterator[tuple[str, Measure]]:
    """Yield the measures of a plan, each with the place where it is declared."""
    yield "primary" if plan.factorial is None else "factorial", plan.measure
    for comparison in plan.family:
        yield "family", comparison.measure


def _check_unit(where: str, measure: Measure) -> None:
    if measure.unit == "image" and measure.attribution in FINDING_MAPS:
        raise StudyError(
            f"{where}: expected `unit: finding` with the attribution {measure.attribution!r} but got `image`: it has a map for "
            "each finding, not one for the whole image."
        )


def _check_external(plan: StudyPlan, external: External) -> None:
    where = f"external.{external.name}"
    names = [domain.name for domain in domains(plan)]
    if external.name in names:
        raise StudyError(f"{where}: expected a name that no domain has but got one of {names}. Rename it.")
    tested_in = dict.fromkeys(domain_of(plan, name).name for name in external.arms)
    if len(tested_in) > 1:
        # their labels, thresholds and baseline maps are those of their own domain
        raise StudyError(
            f"{where}: expected arms of one domain but got those of {' and '.join(tested_in)}. List the arms of one domain in "
            "`arms`."
        )


def _check_names(design: Factorial) -> None:
    """Check the names of domains, which are parts of files of the report and of links to them."""
    for name in design.domains:
        if not name or set(name) & set(_NOT_IN_A_LINK):
            raise StudyError(
                f"factorial.domains: expected names without {' '.join(_NOT_IN_A_LINK)}, since files have them, but got {name!r}. "
                "Rename it."
            )


def _check_design(plan: StudyPlan, used: list[str], students: list[str]) -> None:
    # an arm outside the design would have no reference; one in both domains would make them dependent
    if sorted(used) != sorted(students):
        raise StudyError(f"factorial.domains: expected every student arm {students} once but got {used}.")
    for comparison in plan.family:
        if domain_of(plan, comparison.arm) != domain_of(plan, comparison.reference):
            raise StudyError(
                f"family: expected two arms of one domain but got {comparison.arm!r} and {comparison.reference!r}: they are "
                "tested on different images."
            )
