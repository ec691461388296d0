"""A study: its arms, its seeds and the questions that it declares."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mmpkd.study.plan.errors import StudyError
from mmpkd.study.plan.questions import Comparison, Factorial, Measure, check_endpoint

Role = Literal["teacher", "student"]
# what arms that are compared have in common unless the study says otherwise
Aspect = Literal["data", "code", "budget"]
# with fewer seeds, no realistic difference crosses the boundary
MIN_SEEDS_AT_A_LOOK = 5
# begins with a letter or digit: a dot would hide the folder, and a dash would look like a flag
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
# what a study writes beside the folders of its arms
_OF_THE_STUDY = ("report", "lock", "slurm", "shared_images", "declared.json")


@dataclass(frozen=True)
class Arm:
    """A way of training that a study compares with others.

    Attributes:
        name: Name of the arm and of its folder.
        config: Configuration files of the Lightning command line; later files override earlier ones.
        role: Teacher or student; a teacher is trained once, a student once per seed.
        teacher: Name of the arm whose checkpoint a student is distilled from, or None. If it is a student arm, each run is
            distilled from the run of that arm with the same seed.
        overrides: Lightning flags of this arm only.
        seed_offset: Number added to the seeds. Two arms that differ only in it have a true difference of zero.
        may_differ_in: What may differ from the arms that it is compared with, because the difference is meant: training data or
            privileged input (`data`), the source code of the packages (`code`), or the length of the training (`budget`).

    Raises:
        StudyError: If the name cannot be a folder, a teacher has a teacher or may differ, or the offset is negative.
    """

    name: str
    config: tuple[Path, ...]
    role: Role
    teacher: str | None = None
    overrides: tuple[str, ...] = ()
    seed_offset: int = 0
    may_differ_in: tuple[Aspect, ...] = ()

    def __post_init__(self) -> None:
        check_name(self.name)
        if self.role == "teacher" and self.teacher is not None:
            raise StudyError(f"Expected a teacher without `teacher` but got {self.teacher!r}. Remove it.")
        if self.role == "teacher" and self.may_differ_in:
            raise StudyError("Expected a teacher without `may_differ_in`, since teachers are not compared. Remove it.")
        if self.seed_offset < 0:
            raise StudyError(f"Expected `seed_offset` to be an integer >= 0 but got {self.seed_offset}.")


@dataclass(frozen=True)
class External:
    """A data set for testing finished students; nothing is trained on it.

    Attributes:
        name: Name, also of its folder in each run's folder.
        data: Configuration of the data module.
        arms: Student arms that are tested on it.
        overrides: Flags `--data.*` for it.

    Raises:
        StudyError: If the name cannot be a folder, or if there is no arm.
    """

    name: str
    data: Path
    arms: tuple[str, ...]
    overrides: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_name(self.name)
        if not self.arms:
            raise StudyError("Expected at least one arm but got none.")


@dataclass(frozen=True)
class StudyPlan:
    """A study. It declares one endpoint: a `primary` comparison, or the contrast of a `factorial` design.

    Attributes:
        name: Name, and W&B group of the runs.
        question: The question, which the report shows at the top.
        seeds: Seeds of the student arms.
        arms: Arms in the order of the file.
        primary: Declared endpoint, or None.
        factorial: Declared endpoint and the design behind it, or None.
        family: Further declared comparisons, tested with Holm's correction for their number.
        external: Other data sets on which students are tested.
        overrides: Lightning flags added to every run.
        teacher_seed: Seed of the teachers.
        notes: Sentences that the report shows verbatim.
        gate: Whether the family can be claimed only if the endpoint is claimed. If not, Holm's correction covers both.
        looks: Increasing numbers of finished seeds at which the study may answer, the last of which is all seeds. If empty, it
            answers only when all seeds are finished.

    Raises:
        StudyError: If the name cannot be a folder, a seed is negative or repeated, the number of declared endpoints is not one,
            or the looks do not increase up to the number of seeds.
    """

    name: str
    question: str
    seeds: tuple[int, ...]
    arms: tuple[Arm, ...]
    primary: Comparison | None = None
    factorial: Factorial | None = None
    family: tuple[Comparison, ...] = ()
    external: tuple[External, ...] = ()
    overrides: tuple[str, ...] = ()
    teacher_seed: int = 0
    notes: tuple[str, ...] = ()
    gate: bool = True
    looks: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        check_name(self.name)
        check_seeds(self.seeds)
        check_seeds([self.teacher_seed])
        check_endpoint(self.primary, self.factorial)
        _check_looks(self.looks, len(self.seeds))

    def arm(self, name: str) -> Arm:
        """Return the arm with this name."""
        return next(arm for arm in self.arms if arm.name == name)

    @property
    def teachers(self) -> tuple[Arm, ...]:
        """Arms that are teachers."""
        return tuple(arm for arm in self.arms if arm.role == "teacher")

    @property
    def students(self) -> tuple[Arm, ...]:
        """Arms that are students."""
        return tuple(arm for arm in self.arms if arm.role == "student")

    @property
    def endpoint(self) -> Comparison | Factorial:
        """The declared endpoint."""
        declared = self.factorial or self.primary
        assert declared is not None
        return declared

    @property
    def measure(self) -> Measure:
        """Attribution, score and unit of the declared endpoint."""
        return self.endpoint.measure


def check_seeds(seeds: Sequence[int]) -> tuple[int, ...]:
    """Return seeds as a tuple after checking them.

    Raises:
        StudyError: If there is no seed, or if one is repeated or negative.
    """
    if not seeds or min(seeds) < 0 or len(set(seeds)) != len(seeds):
        raise StudyError(f"Expected `seeds` to be different integers >= 0, at least one, but got {list(seeds)}.")
    return tuple(seeds)


def _check_looks(looks: Sequence[int], num_seeds: int) -> None:
    if looks and (min(looks) < MIN_SEEDS_AT_A_LOOK or sorted(set(looks)) != list(looks) or looks[-1] != num_seeds):
        raise StudyError(
            f"Expected `looks` to be increasing numbers of seeds from {MIN_SEEDS_AT_A_LOOK} on, the last one all {num_seeds} of "
            f"`seeds`, but got {list(looks)}."
        )


def check_name(name: str) -> None:
    """Check that a name can also be the name of a folder.

    Raises:
        StudyError: If it cannot.
    """
    if _NAME.fullmatch(name) is None or name in _OF_THE_STUDY:
        raise StudyError(
            "Expected a name of letters, digits, '_', '-' and '.', which is also a folder (and none of "
            f"{', '.join(_OF_THE_STUDY)}), but got {name!r}."
        )
