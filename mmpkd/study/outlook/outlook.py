"""The difference that a study shows with a power of 80 %, by its seeds and patients, from the runs of a pilot."""

from dataclasses import dataclass
from pathlib import Path

from mmpkd.statistics.effects import Effect
from mmpkd.statistics.planning import MIN_PILOT_SEEDS, UPPER, detectable_difference, planned_spread
from mmpkd.study.analysis.answers import Unanswered
from mmpkd.study.analysis.comparison import Compared
from mmpkd.study.analysis.conclusions import conclude
from mmpkd.study.analysis.contrast import Contrasted
from mmpkd.study.analysis.run_tables import read_run
from mmpkd.study.execution.planned_runs import plan_runs
from mmpkd.study.execution.run import is_finished
from mmpkd.study.plan.declaration import declared_seeds
from mmpkd.study.plan.errors import StudyError
from mmpkd.study.plan.study_plan import StudyPlan

SEEDS = (3, 5, 7, 10, 15, 20)
PATIENTS = (0.5, 1.0, 2.0, 4.0)
MOST_SEEDS = 100
_ENDLESS = 10**6


@dataclass(frozen=True)
class Design:
    """A possible study.

    Attributes:
        seeds: Number of runs of each arm.
        patients: Number of patients, as a multiple of the pilot's.
        detectable: Difference shown with a power of 80 %, from the upper limits of the pilot's variances.
        as_it_is: The same from the variances as estimated, with which half of such studies turn out too small.
    """

    seeds: int
    patients: float
    detectable: float
    as_it_is: float


@dataclass(frozen=True)
class Needed:
    """The size of a study that shows a given difference.

    Attributes:
        patients: Number of patients, as a multiple of the pilot's.
        seeds: Smallest number of runs of each arm that shows it, or None if even a hundred do not.
    """

    patients: float
    seeds: int | None


@dataclass(frozen=True)
class Outlook:
    """The differences that studies planned from a pilot could show.

    Attributes:
        pilot_seeds: Number of runs of each arm in the pilot that localize.
        pilot_patients: Number of patients in the pilot; for a contrast, those of both domains.
        num_collapsed: Number of seeds of the pilot left out because a run does not localize.
        at_hand: The study as planned in its file, with at least three seeds, on the patients of the pilot.
        one_more_seed: The same with one more seed.
        tenth_more_patients: The same with 10 % more patients.
        endless_seeds: The same with infinitely many seeds: the best that these patients allow.
        endless_patients: The same with infinitely many patients: the best that these seeds allow.
        designs: Studies of several sizes.
        difference: The difference to show, or None.
        needed: Sizes of studies that show that difference.
    """

    pilot_seeds: int
    pilot_patients: int
    num_collapsed: int
    at_hand: Design
    one_more_seed: Design
    tenth_more_patients: Design
    endless_seeds: Design
    endless_patients: Design
    designs: tuple[Design, ...]
    difference: float | None = None
    needed: tuple[Needed, ...] = ()


def outlook_of(plan: StudyPlan, pilot: Path, difference: float | None = None) -> Outlook:
    """Return the differences that studies of several sizes could show.

    Args:
        plan: The study to plan.
        pilot: Folder of a study with finished runs of the same arms.
        difference: A difference that the study should show, or None.

    Raises:
        StudyError: If fewer than three seeds of the pilot are finished in all arms, or it has no answer.
    """
    found = _endpoint(plan, pilot)
    effect = found.effect
    if effect.num_seeds < MIN_PILOT_SEEDS:
        raise StudyError(
            f"Expected a pilot of at least {MIN_PILOT_SEEDS} seeds whose runs are finished and localize in all arms but "
            f"{pilot} has {found.num_seeds}: from fewer runs, the variance between runs cannot be estimated well enough."
        )
    seeds = max(len(plan.seeds), MIN_PILOT_SEEDS)  # a study with fewer seeds claims nothing
    needed = () if difference is None else tuple(_needed(effect, patients, difference) for patients in PATIENTS)
    designs = []
    for patients in PATIENTS:
        designs += [_design(effect, number, patients) for number in SEEDS]
    return Outlook(
        pilot_seeds=effect.num_seeds,
        pilot_patients=_num_patients(found),
        num_collapsed=_num_collapsed(found),
        at_hand=_design(effect, seeds, 1.0),
        one_more_seed=_design(effect, seeds + 1, 1.0),
        tenth_more_patients=_design(effect, seeds, 1.1),
        endless_seeds=_design(effect, _ENDLESS, 1.0),
        endless_patients=_design(effect, seeds, float(_ENDLESS)),
        designs=tuple(designs),
        difference=difference,
        needed=needed,
    )


def _endpoint(plan: StudyPlan, pilot: Path) -> Compared | Contrasted:
    seeds = sorted({*plan.seeds, *(declared_seeds(pilot) or ())})
    runs = plan_runs(plan, pilot, seeds, ())
    finished = [run for run in runs if not run.test_set and is_finished(run)]
    found = conclude(plan, [read_run(run) for run in finished]).endpoint
    if isinstance(found, Unanswered):
        missing = f"no finished run of {' and '.join(found.arms)}" if found.arms else found.detail or "no regions"
        raise StudyError(f"Expected a pilot with finished runs of all arms in {pilot} but got: {missing}.")
    return found


def _num_patients(found: Compared | Contrasted) -> int:
    return found.overall.num_patients if isinstance(found, Compared) else found.num_patients


def _num_collapsed(found: Compared | Contrasted) -> int:
    return found.collapse.localizing.count(False) if isinstance(found, Compared) else found.num_collapsed


def _design(effect: Effect, seeds: int, patients: float) -> Design:
    return Design(
        seeds, patients, _detectable(effect, seeds, patients, UPPER), _detectable(effect, seeds, patients, None)
    )


def _detectable(effect: Effect, seeds: int, patients: float, limit: float | None) -> float:
    return detectable_difference([planned_spread(part, seeds, patients, limit) for part in effect.parts])


def _needed(effect: Effect, patients: float, difference: float) -> Needed:
    """Return the smallest number of seeds, at least three, that shows a difference."""
    for seeds in range(MIN_PILOT_SEEDS, MOST_SEEDS + 1):
        if _detectable(effect, seeds, patients, UPPER) <= difference:
            return Needed(patients, seeds)
    return Needed(patients, None)
