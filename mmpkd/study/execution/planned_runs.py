"""The runs that a study consists of."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mmpkd.study.execution.run import Run
from mmpkd.study.plan.domains import domain_of
from mmpkd.study.plan.errors import StudyError
from mmpkd.study.plan.flags import Flag, check_overrides, parse_flags
from mmpkd.study.plan.study_plan import Arm, External, StudyPlan


def plan_runs(plan: StudyPlan, out: Path, seeds: Sequence[int], overrides: Sequence[str]) -> list[Run]:
    """Return the runs of a study in the order in which they are made: teachers first, then seed by seed.

    Only the runs of the smallest seed draw maps and score their faithfulness: the report shows pictures of that seed. Teacher
    cards compare with the student of that seed, so that further seeds need not wait for each other.

    Args:
        plan: The study.
        out: Folder of the study.
        seeds: Seeds of the student arms.
        overrides: Flags added after those of the study and the arm. Like those of the study, options of the encoder go to
            teachers, of the student and its objective to students, of the teacher and the losses to students that have a
            teacher, and all others to every run.

    Raises:
        StudyError: If an override belongs to no flag, if no arm has such an option, or if the study sets it itself.
    """
    added = check_overrides(overrides)
    _check_audience((*parse_flags(plan.overrides), *added), plan)
    pairs = [(arm, plan.teacher_seed) for arm in plan.teachers]
    for seed in seeds:
        pairs += [(arm, seed) for arm in plan.students]
    runs = []
    for arm, seed in pairs:
        run = Run(
            arm,
            seed,
            _folder(out, arm.name, seed),
            group=plan.name,
            # later flags win: the command line over the arm, the arm over the study
            overrides=(*stated_flags(plan, arm), *_for(arm, added)),
            teacher=_teacher(plan, arm, out, seed),
            reference=_reference(plan, arm, out, min(seeds)),
            has_figures=arm.role == "teacher" or seed == min(seeds),
        )
        runs += [run, *(external_run(run, own) for own in plan.external if arm.name in own.arms)]
    return runs


def stated_flags(plan: StudyPlan, arm: Arm) -> tuple[Flag, ...]:
    """Return the flags that a study states for an arm: those of the study that the arm has, then its own."""
    return (*_for(arm, parse_flags(plan.overrides)), *parse_flags(arm.overrides))


def external_run(run: Run, external: External) -> Run:
    """Return the run that tests a trained student on another data set; its folder is inside that of the training."""
    return replace(
        run,
        folder=run.folder / "external" / external.name,
        # options of the study's data module are not those of another one
        overrides=tuple(flag for flag in run.overrides if not flag.is_of_data),
        external=external,
        trained=run.folder,
    )


def _check_audience(flags: Sequence[Flag], plan: StudyPlan) -> None:
    for flag in flags:
        if not any(_for(arm, [flag]) for arm in plan.arms):
            raise StudyError(
                f"Expected flags that an arm of the study has but got {' '.join(flag.words)}, which is for {flag.audience}. "
                "Remove it."
            )


def _for(arm: Arm, flags: Sequence[Flag]) -> tuple[Flag, ...]:
    """Return the flags that an arm has."""
    is_student = arm.role == "student"
    has = {
        "teachers": not is_student,
        "students": is_student,
        "distilled students": is_student and arm.teacher is not None,
        "all": True,
    }
    return tuple(flag for flag in flags if has[flag.audience])


def _folder(out: Path, arm: str, seed: int) -> Path:
    return out / arm / f"seed{seed}"


def _teacher(plan: StudyPlan, arm: Arm, out: Path, seed: int) -> Path | None:
    """Return the folder of the run that an arm is distilled from. If that is a student arm, it is the run of the same seed."""
    if arm.teacher is None:
        return None
    is_teacher = plan.arm(arm.teacher).role == "teacher"
    return _folder(out, arm.teacher, plan.teacher_seed if is_teacher else seed)


def _reference(plan: StudyPlan, arm: Arm, out: Path, seed: int) -> Path | None:
    """Return the folder of the student that the teacher card compares with, which the arm waits for, wherever it is listed."""
    if arm.teacher is None or arm.role == "teacher":
        return None
    reference = plan.arm(domain_of(plan, arm.name).reference)
    # a student with a teacher might wait for this arm
    return _folder(out, reference.name, seed) if reference.teacher is None else None
