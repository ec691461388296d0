"""What a study compares, read from one YAML file."""

import dataclasses
import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import yaml

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_OWNED_FLAGS = (
    "run.dir",
    "run.group",
    "run.job_type",
    "seed_everything",
    "ckpt_path",
    "model.teacher",
    "run.reference",
)


class StudyError(Exception):
    """A study cannot be planned, continued or reported; the message says why and what to do."""


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
    """

    name: str
    config: tuple[Path, ...]
    role: Literal["teacher", "student"]
    teacher: str | None = None
    overrides: tuple[str, ...] = ()


@dataclass(frozen=True)
class Primary:
    """The endpoint, declared before anything runs.

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
class StudyPlan:
    """A study.

    Attributes:
        name: Name, and W&B group of the runs.
        question: The question, as shown at the top of the report.
        seeds: Seeds of the student arms.
        arms: Arms in the order of the file.
        primary: Declared endpoint.
        overrides: Lightning flags added to every run.
        teacher_seed: Seed of the teachers.
        notes: Sentences that the report shows verbatim.
    """

    name: str
    question: str
    seeds: tuple[int, ...]
    arms: tuple[Arm, ...]
    primary: Primary
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


def load_plan(path: Path) -> StudyPlan:
    """Read and check a study file.

    Args:
        path: YAML file; the configurations of its arms are relative to it.

    Returns:
        The plan.

    Raises:
        StudyError: If the file is missing or does not describe a study that can run.
    """
    if not path.is_file():
        raise StudyError(f"Expected a study file at {path} but there is none.")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise StudyError(f"{path} is not valid YAML: {error}") from error
    top = _keys(content, StudyPlan, f"{path}")
    arms = tuple(_arm(name, entry, path) for name, entry in _mapping(top["arms"], f"{path}: arms").items())
    plan = StudyPlan(
        name=_name(top["name"], f"{path}: name"),
        question=_text(top["question"], f"{path}: question"),
        seeds=check_seeds(_sequence(top["seeds"], f"{path}: seeds")),
        arms=arms,
        primary=_primary(top["primary"], path),
        overrides=check_overrides(_sequence(top.get("overrides", []), f"{path}: overrides")),
        teacher_seed=check_seeds([top.get("teacher_seed", 0)])[0],
        notes=tuple(_text(note, f"{path}: notes") for note in _sequence(top.get("notes", []), f"{path}: notes")),
    )
    _check_references(plan, path)
    return plan


def check_seeds(seeds: Sequence[Any]) -> tuple[int, ...]:
    """Return seeds as a tuple after checking them.

    Raises:
        StudyError: If there is no seed, a seed twice, or one that is no integer >= 0.
    """
    valid = all(isinstance(seed, int) and not isinstance(seed, bool) and seed >= 0 for seed in seeds)
    if not seeds or not valid or len(set(seeds)) != len(seeds):
        raise StudyError(f"Expected `seeds` to be different integers >= 0, at least one, but got {list(seeds)}.")
    return tuple(seeds)


def check_overrides(overrides: Sequence[Any]) -> tuple[str, ...]:
    """Return Lightning flags as a tuple after checking that none is one that the study sets itself.

    Raises:
        StudyError: If a flag is no text or belongs to the study.
    """
    for flag in overrides:
        if not isinstance(flag, str):
            raise StudyError(f"Expected `overrides` to be a list of flags (text) but got {flag!r}. Write it in quotes.")
        name = flag.lstrip("-").split("=")[0].replace(".init_args.", ".")
        if flag.startswith("-") and name in _OWNED_FLAGS:
            raise StudyError(f"Expected overrides without {flag}: the study sets --{name} itself. Remove it.")
    return tuple(overrides)


def _arm(name: str, entry: Any, path: Path) -> Arm:
    where = f"{path}: arms.{name}"
    values = _keys(entry, Arm, where, given=("name",))
    named = values["config"] if isinstance(values["config"], list) else [values["config"]]
    configs = tuple(path.parent / _text(name, f"{where}.config") for name in named)
    missing = [str(config) for config in configs if not config.is_file()]
    if missing or not configs:
        raise StudyError(f"{where}: expected configuration files at {missing} but there are none.")
    role = values["role"]
    if role not in ("teacher", "student"):
        raise StudyError(f"{where}: expected `role` to be teacher or student but got {role!r}.")
    teacher = values.get("teacher")
    if role == "teacher" and teacher is not None:
        raise StudyError(f"{where}: expected a teacher without `teacher` but got {teacher!r}. Remove it.")
    overrides = check_overrides(_sequence(values.get("overrides", []), f"{where}.overrides"))
    return Arm(_name(name, where), configs, cast(Literal["teacher", "student"], role), teacher, overrides)


def _primary(entry: Any, path: Path) -> Primary:
    where = f"{path}: primary"
    values = _keys(entry, Primary, where)
    margin = values.get("margin")
    if margin is not None and (isinstance(margin, bool) or not isinstance(margin, int | float) or margin <= 0):
        raise StudyError(f"{where}: expected `margin` to be a number > 0 but got {margin!r}.")
    texts = {key: _text(values[key], f"{where}.{key}") for key in ("arm", "reference", "attribution", "score")}
    return Primary(**texts, margin=None if margin is None else float(margin))


def _check_references(plan: StudyPlan, path: Path) -> None:
    students = [arm.name for arm in plan.students]
    known = [arm.name for arm in plan.teachers]
    for arm in plan.students:
        if arm.teacher is not None and arm.teacher not in known:
            raise StudyError(
                f"{path}: arms.{arm.name}: expected `teacher` to be a teacher arm, or a student arm that is listed before it, "
                f"{known}, but got {arm.teacher!r}.{_did_you_mean(arm.teacher, known)}"
            )
        known.append(arm.name)
    for key, name in (("arm", plan.primary.arm), ("reference", plan.primary.reference)):
        if name not in students:
            raise StudyError(
                f"{path}: primary.{key}: expected one of the student arms {students} but got {name!r}."
                f"{_did_you_mean(name, students)}"
            )
    if plan.primary.arm == plan.primary.reference:
        raise StudyError(f"{path}: primary: expected two different arms but got {plan.primary.arm!r} twice.")


def _keys(entry: Any, kind: type[Any], where: str, given: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return a mapping whose keys are the fields of a dataclass, complaining about unknown and missing ones."""
    values = _mapping(entry, where)
    fields = [field for field in dataclasses.fields(kind) if field.name not in given]
    names = [field.name for field in fields]
    for key in values:
        if key not in names:
            raise StudyError(f"{where}: unknown key {key!r}.{_did_you_mean(key, names)} Known: {', '.join(names)}.")
    missing = [f.name for f in fields if f.default is dataclasses.MISSING and f.name not in values]
    if missing:
        raise StudyError(f"{where}: expected the keys {', '.join(missing)} but they are missing.")
    return values


def _mapping(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, Mapping) or not value:
        raise StudyError(f"{where}: expected a mapping (key: value) but got {value!r}.")
    return {str(key): item for key, item in value.items()}


def _sequence(value: Any, where: str) -> Sequence[Any]:
    if not isinstance(value, list):
        raise StudyError(f"{where}: expected a list but got {value!r}.")
    return value


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise StudyError(f"{where}: expected text but got {value!r}.")
    return value


def _name(value: Any, where: str) -> str:
    if not isinstance(value, str) or _NAME.fullmatch(value) is None or value == "report":
        raise StudyError(
            f"{where}: expected a name of letters, digits, '_', '-' and '.', which is also a folder (and not "
            f"'report'), but got {value!r}."
        )
    return value


def _did_you_mean(word: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(word, list(known), n=1)
    return f" Did you mean {near[0]!r}?" if near else ""
