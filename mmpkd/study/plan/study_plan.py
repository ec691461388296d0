"""The arms of a study and the questions that it declares."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Literal

Contrast = Literal["domain", "form", "interaction"]
Role = Literal["teacher", "student"]
REFERENCE = "reference"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


class StudyError(Exception):
    """A study cannot be planned, continued or reported; the message says why and what to do."""


class NotComparableError(StudyError):
    """Two arms cannot be compared, or not by that score; other questions of the study can be answered."""


@dataclass(frozen=True)
class Measure:
    """An attribution, and the score by which its maps are compared.

    Attributes:
        attribution: Attribution in the localization table.
        score: Column of the localization table; higher must be better.
    """

    attribution: str
    score: str


@dataclass(frozen=True)
class Arm:
    """One way of training.

    Attributes:
        name: Name of the arm and of its folder.
        config: Configuration files of the Lightning command line; later ones change what earlier ones say.
        role: A teacher is trained once, a student once per seed.
        teacher: Name of the arm whose checkpoint a student is distilled from, or None. If it is a student arm, each seed is
            distilled from its own seed of that arm.
        overrides: Lightning flags of this arm only.
        seed_offset: Added to the seeds: an arm that differs from another in nothing else has a true difference of zero.

    Raises:
        StudyError: If the name is none for a folder, a teacher has a teacher, or the offset is negative.
    """

    name: str
    config: tuple[Path, ...]
    role: Role
    teacher: str | None = None
    overrides: tuple[str, ...] = ()
    seed_offset: int = 0

    def __post_init__(self) -> None:
        check_name(self.name)
        if self.role == "teacher" and self.teacher is not None:
            raise StudyError(f"Expected a teacher without `teacher` but got {self.teacher!r}. Remove it.")
        if self.seed_offset < 0:
            raise StudyError(f"Expected `seed_offset` to be an integer >= 0 but got {self.seed_offset}.")


@dataclass(frozen=True)
class Comparison:
    """A difference between two student arms, declared before anything runs.

    Attributes:
        arm: Student arm that the question is about.
        reference: Student arm that it is compared with.
        attribution: Read-out of the localization table.
        score: Column of the localization table; higher must be better.
        margin: Smallest difference that matters, in units of the score; enables an equivalence test.

    Raises:
        StudyError: If the margin is not positive, or an arm is compared with itself.
    """

    arm: str
    reference: str
    attribution: str
    score: str
    margin: float | None = None

    def __post_init__(self) -> None:
        _check_margin(self.margin)
        if self.arm == self.reference:
            raise StudyError(f"Expected two different arms to compare but got {self.arm!r} twice.")

    @property
    def measure(self) -> Measure:
        """Attribution and score that are compared."""
        return Measure(self.attribution, self.score)


@dataclass(frozen=True)
class Factorial:
    """Two domains x two forms of privileged information, each with a difference from the domain's own reference.

    Attributes:
        contrast: The declared endpoint: the effect of the `domain`, of the `form`, or their `interaction`.
        attribution: Read-out of the localization table.
        score: Column of the localization table; higher must be better.
        domains: Two domains; each maps `reference` and the two forms to student arms.
        margin: Smallest contrast that matters, in units of the score; enables an equivalence test.

    Raises:
        StudyError: If the margin is not positive, or the design is not two by two.
    """

    contrast: Contrast
    attribution: str
    score: str
    domains: Mapping[str, Mapping[str, str]]
    margin: float | None = None

    def __post_init__(self) -> None:
        _check_margin(self.margin)
        forms = [_forms(arms) for arms in self.domains.values()]
        has_references = all(REFERENCE in arms for arms in self.domains.values())
        if len(forms) != 2 or not has_references or len(forms[0]) != 2 or forms[0] != forms[1]:
            raise StudyError(
                f"Expected two domains, each with a `{REFERENCE}` and the same two forms in the same order, but got "
                f"{self.domains}."
            )

    @property
    def forms(self) -> tuple[str, str]:
        """Names of the two forms."""
        first, second = _forms(next(iter(self.domains.values())))
        return first, second

    @property
    def measure(self) -> Measure:
        """Attribution and score that are compared."""
        return Measure(self.attribution, self.score)

    @property
    def arms(self) -> list[str]:
        """The arms of all domains."""
        names: list[str] = []
        for arms in self.domains.values():
            names += arms.values()
        return names

    @property
    def comparisons(self) -> list[Comparison]:
        """The differences behind the contrast, domain by domain."""
        return [self.comparison(domain, form) for domain, form in product(self.domains, self.forms)]

    def comparison(self, domain: str, form: str) -> Comparison:
        """Return the difference of one form from the reference of its domain."""
        arms = self.domains[domain]
        return Comparison(arms[form], arms[REFERENCE], self.attribution, self.score)


@dataclass(frozen=True)
class External:
    """A data set that finished students are tested on, and that nothing is trained on.

    Attributes:
        name: Name, and folder in that of a run.
        data: Configuration of the data module.
        arms: Student arms that are tested on it.
        overrides: Flags `--data....` of it.

    Raises:
        StudyError: If the name is none for a folder, or there is no arm.
    """

    name: str
    data: Path
    arms: tuple[str, ...]
    overrides: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_name(self.name)
        if not self.arms:
            raise StudyError("Expected an arm or more but got none.")


@dataclass(frozen=True)
class StudyPlan:
    """A study. It declares one endpoint: a `primary` comparison, or the contrast of a `factorial` design.

    Attributes:
        name: Name, and W&B group of the runs.
        question: The question, as shown at the top of the report.
        seeds: Seeds of the student arms.
        arms: Arms in the order of the file.
        primary: Declared endpoint, or None.
        factorial: Declared endpoint and the design behind it, or None.
        family: Further comparisons that are declared; they are tested with Holm's correction for their number.
        external: Data sets that students are tested on besides.
        overrides: Lightning flags added to every run.
        teacher_seed: Seed of the teachers.
        notes: Sentences that the report shows verbatim.

    Raises:
        StudyError: If the name is none for a folder, a seed is negative or there twice, or not one endpoint is declared.
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

    def __post_init__(self) -> None:
        check_name(self.name)
        check_seeds(self.seeds)
        check_seeds([self.teacher_seed])
        check_endpoint(self.primary, self.factorial)

    def arm(self, name: str) -> Arm:
        """Return the arm of that name."""
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
    def measure(self) -> Measure:
        """Attribution and score of the declared endpoint."""
        declared = self.factorial or self.primary
        assert declared is not None
        return declared.measure


def check_seeds(seeds: Sequence[int]) -> tuple[int, ...]:
    """Return seeds as a tuple after checking them.

    Raises:
        StudyError: If there is no seed, a seed twice, or one below 0.
    """
    if not seeds or min(seeds) < 0 or len(set(seeds)) != len(seeds):
        raise StudyError(f"Expected `seeds` to be different integers >= 0, at least one, but got {list(seeds)}.")
    return tuple(seeds)


def check_endpoint(primary: Comparison | None, factorial: Factorial | None) -> None:
    """Check that one endpoint is declared.

    Raises:
        StudyError: If none is, or both are.
    """
    if (primary is None) == (factorial is None):
        raise StudyError(
            "Expected one declared endpoint, `primary` (a comparison) or `factorial` (a contrast), but got "
            f"{'none' if primary is None else 'both'}."
        )


def check_name(name: str) -> None:
    """Check that a name can be that of a folder.

    Raises:
        StudyError: If it cannot.
    """
    if _NAME.fullmatch(name) is None or name == "report":
        raise StudyError(
            f"Expected a name of letters, digits, '_', '-' and '.', which is also a folder (and not 'report'), but got {name!r}."
        )


def _check_margin(margin: float | None) -> None:
    if margin is not None and not margin > 0:
        raise StudyError(f"Expected `margin` to be a number > 0 but got {margin}.")


def _forms(arms: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(name for name in arms if name != REFERENCE)
