"""The difference that a study shows with a probability of 80 %, by its seeds and patients, from the runs of a pilot."""

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
    """A study that could be made.

    Attributes:
        seeds: Runs of each arm.
        patients: Its patients, as a multiple of those of the pilot.
        detectable: Difference that it shows with a probability of 80 %, from the upper limits of the pilot's variances.
        as_it_is: The same from the variances as they are: half of such studies need more.
    """

    seeds: int
    patients: float
    detectable: float
    as_it_is: float


@dataclass(frozen=True)
class Needed:
    """What shows a given difference.

    Attributes:
        patients: Patients, as a multiple of those of the pilot.
        seeds: The fewest runs of each arm that show it, or None if a hundred do not.
    """

    patients: float
    seeds: int | None


@dataclass(frozen=True)
class Outlook:
    """What studies could show that are planned from a pilot.

    Attributes:
        pilot_seeds: Runs of each arm in the pilot that localize.
        pilot_patients: Its patients; of a contrast of two domains, those of both.
        num_collapsed: Seeds of the pilot that are left out, because a run does not localize.
        at_hand: The study as its file has it, of three seeds or more, on the patients of the pilot.
        one_more_seed: The same with one more seed.
        tenth_more_patients: The same with a tenth more patients.
        endless_seeds: The same with seeds without end: what these patients can show at best.
        endless_patients: The same with patients without end: what so many seeds can show at best.
        designs: Studies of several sizes.
        difference: The difference that is asked for, or None.
        needed: What shows that difference.
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
    """Return what studies of several sizes could show.

    Args:
        plan: The study.
        pilot: Folder of a study with finished runs of its arms.
        difference: A difference that the study is to show, or None.

    Raises:
        StudyError: If the pilot has fewer than three seeds that all arms have finished, or no answer.
    """
    found = _endpoint(plan, pilot)
    effect = found.effect
    if effect.num_seeds < MIN_PILOT_SEEDS:
        raise StudyError(
            f"Expected a pilot of at least {MIN_PILOT_SEEDS} seeds whose runs are finished and localize in all arms but "
            f"{pilot} has {found.num_seeds}: two runs say too little about how much runs differ."
        )
    seeds = max(len(plan.seeds), MIN_PILOT_SEEDS)  # with fewer, nothing is claimed
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
    """Return the fewest seeds, at least three, that show a difference."""
    for seeds in range(MIN_PILOT_SEEDS, MOST_SEEDS + 1):
        if _detectable(effect, seeds, patients, UPPER) <= difference:
            return Needed(patients, seeds)
    return Needed(patients, None)
