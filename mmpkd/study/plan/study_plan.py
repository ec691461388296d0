"""What a study compares."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Contrast = Literal["domain", "form", "interaction"]
REFERENCE = "reference"


class StudyError(Exception):
    """A study cannot be planned, continued or reported; the message says why and what to do."""


class NotComparableError(StudyError):
    """Two arms cannot be compared, or not by that score; other questions of the study can be answered."""


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
    """

    name: str
    config: tuple[Path, ...]
    role: Literal["teacher", "student"]
    teacher: str | None = None
    overrides: tuple[str, ...] = ()
    seed_offset: int = 0


@dataclass(frozen=True)
class Comparison:
    """A difference between two student arms, declared before anything runs.

    Attributes:
        arm: Student arm that the question is about.
        reference: Student arm that it is compared with.
        attribution: Read-out of the localization table.
        score: Column of the localization table; higher must be better.
        margin: Smallest difference that matters, in units of the score; enables an equivalence test.
    """

    arm: str
    reference: str
    attribution: str
    score: str
    margin: float | None = None


@dataclass(frozen=True)
class Factorial:
    """Two domains x two forms of privileged information, each with a difference from the domain's own reference.

    Attributes:
        contrast: The declared endpoint: the effect of the `domain`, of the `form`, or their `interaction`.
        attribution: Read-out of the localization table.
        score: Column of the localization table; higher must be better.
        domains: Two domains; each maps `reference` and the two forms to student arms.
        margin: Smallest contrast that matters, in units of the score; enables an equivalence test.
    """

    contrast: Contrast
    attribution: str
    score: str
    domains: Mapping[str, Mapping[str, str]]
    margin: float | None = None

    @property
    def forms(self) -> tuple[str, str]:
        """Names of the two forms."""
        first, second = (name for name in next(iter(self.domains.values())) if name != REFERENCE)
        return first, second

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
    """

    name: str
    data: Path
    arms: tuple[str, ...]
    overrides: tuple[str, ...] = ()


@dataclass(frozen=True)
class Domain:
    """Arms that are tested on the same images.

    Attributes:
        name: Name, "" if there is one only.
        reference: Student arm that the others are compared with.
        students: Student arms.
        teachers: Teacher arms of its students.
    """

    name: str
    reference: str
    students: tuple[Arm, ...]
    teachers: tuple[Arm, ...]


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
    def read_out(self) -> tuple[str, str]:
        """Attribution and score of the declared endpoint."""
        declared = self.factorial or self.primary
        assert declared is not None
        return declared.attribution, declared.score

    @property
    def domains(self) -> tuple[Domain, ...]:
        """The arms by the images that they are tested on."""
        if self.factorial is None:
            assert self.primary is not None
            return (Domain("", self.primary.reference, self.students, self.teachers),)
        return tuple(self._domain(name, arms) for name, arms in self.factorial.domains.items())

    def domain_of(self, student: str) -> Domain:
        """Return the domain of a student arm."""
        return next(domain for domain in self.domains if any(arm.name == student for arm in domain.students))

    def external_domain(self, external: External) -> Domain:
        """Return the student arms that are tested on another data set."""
        students = tuple(arm for arm in self.students if arm.name in external.arms)
        return Domain(external.name, self.domain_of(external.arms[0]).reference, students, ())

    def _domain(self, name: str, arms: Mapping[str, str]) -> Domain:
        students = tuple(arm for arm in self.students if arm.name in arms.values())
        taught = {arm.teacher for arm in students}
        return Domain(name, arms[REFERENCE], students, tuple(arm for arm in self.teachers if arm.name in taught))
