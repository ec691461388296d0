"""The arms of a study, grouped by the images that they are tested on."""

from collections.abc import Mapping
from dataclasses import dataclass

from mmpkd.study.plan.questions import REFERENCE
from mmpkd.study.plan.study_plan import Arm, External, StudyPlan


@dataclass(frozen=True)
class Domain:
    """Arms that are tested on the same images.

    Attributes:
        name: Name, "" if there is only one.
        reference: Student arm that the others are compared with.
        students: Student arms.
        teachers: Teacher arms of its students.
    """

    name: str
    reference: str
    students: tuple[Arm, ...]
    teachers: tuple[Arm, ...]


def domains(plan: StudyPlan) -> tuple[Domain, ...]:
    """Return the domains of a study: those of its factorial design, or a single one with all arms."""
    if plan.factorial is None:
        assert plan.primary is not None
        return (Domain("", plan.primary.reference, plan.students, plan.teachers),)
    return tuple(_domain(plan, name, arms) for name, arms in plan.factorial.domains.items())


def domain_of(plan: StudyPlan, student: str) -> Domain:
    """Return the domain of a student arm."""
    arm = plan.arm(student)
    return next(domain for domain in domains(plan) if arm in domain.students)


def external_domain(plan: StudyPlan, external: External) -> Domain:
    """Return the student arms that are tested on another data set; they are of one domain (`check_references`)."""
    students = tuple(arm for arm in plan.students if arm.name in external.arms)
    reference = domain_of(plan, external.arms[0]).reference
    if reference not in external.arms:
        # it stands for the baseline maps, too, which every arm has
        reference = external.arms[0]
    # only students are tested on other data sets, so this domain has no teachers
    return Domain(external.name, reference, students, ())


def _domain(plan: StudyPlan, name: str, arms: Mapping[str, str]) -> Domain:
    students = tuple(arm for arm in plan.students if arm.name in arms.values())
    taught_by = {arm.teacher for arm in students}
    return Domain(name, arms[REFERENCE], students, tuple(arm for arm in plan.teachers if arm.name in taught_by))
