"""The YAML file of a study, read and checked before anything runs."""

import dataclasses
import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, cast, get_args

import yaml

from mmpkd.study.plan.study_plan import REFERENCE, Arm, Comparison, Contrast, External, Factorial, StudyError, StudyPlan

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_OWNED_FLAGS = (
    "run.dir",
    "run.group",
    "run.job_type",
    "seed_everything",
    "ckpt_path",
    "model.teacher",
    "model.teacher.path",
    "run.reference",
)


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
    endpoint = _comparison(top["primary"], f"{path}: primary") if "primary" in top else None
    design = _factorial(top["factorial"], f"{path}: factorial") if "factorial" in top else None
    declared = endpoint or design
    if declared is None or (endpoint and design):
        raise StudyError(
            f"{path}: expected one declared endpoint, `primary` (a comparison) or `factorial` (a contrast), but got "
            f"{'both' if declared else 'none'}."
        )
    students = tuple(arm.name for arm in arms if arm.role == "student")
    defaults = {"attribution": declared.attribution, "score": declared.score}
    plan = StudyPlan(
        name=_name(top["name"], f"{path}: name"),
        question=_text(top["question"], f"{path}: question"),
        seeds=check_seeds(_sequence(top["seeds"], f"{path}: seeds")),
        arms=arms,
        primary=endpoint,
        factorial=design,
        family=tuple(
            _comparison(entry, f"{path}: family", defaults)
            for entry in _sequence(top.get("family", []), f"{path}: family")
        ),
        external=tuple(
            _external(name, entry, path, students)
            for name, entry in (_mapping(top["external"], f"{path}: external") if "external" in top else {}).items()
        ),
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
    offset = values.get("seed_offset", 0)
    if isinstance(offset, bool) or not isinstance(offset, int) or offset < 0:
        raise StudyError(f"{where}: expected `seed_offset` to be an integer >= 0 but got {offset!r}.")
    return Arm(_name(name, where), configs, cast(Literal["teacher", "student"], role), teacher, overrides, offset)


def _comparison(entry: Any, where: str, defaults: Mapping[str, str] | None = None) -> Comparison:
    values = _keys({**(defaults or {}), **_mapping(entry, where)}, Comparison, where)
    texts = {key: _text(values[key], f"{where}.{key}") for key in ("arm", "reference", "attribution", "score")}
    return Comparison(**texts, margin=_margin(values.get("margin"), where))


def _margin(value: Any, where: str) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
        raise StudyError(f"{where}: expected `margin` to be a number > 0 but got {value!r}.")
    return float(value)


def _factorial(entry: Any, where: str) -> Factorial:
    values = _keys(entry, Factorial, where)
    if values["contrast"] not in get_args(Contrast):
        raise StudyError(
            f"{where}: expected `contrast` to be one of {get_args(Contrast)} but got {values['contrast']!r}."
        )
    domains = {
        name: {
            key: _text(arm, f"{where}.domains.{name}.{key}") for key, arm in _mapping(arms, f"{where}.domains").items()
        }
        for name, arms in _mapping(values["domains"], f"{where}.domains").items()
    }
    forms = [tuple(name for name in arms if name != REFERENCE) for arms in domains.values()]
    if (
        len(domains) != 2
        or len(forms[0]) != 2
        or forms[0] != forms[1]
        or any(REFERENCE not in a for a in domains.values())
    ):
        raise StudyError(
            f"{where}: expected two domains, each with a `{REFERENCE}` and the same two forms in the same order, but got "
            f"{domains}."
        )
    texts = {key: _text(values[key], f"{where}.{key}") for key in ("attribution", "score")}
    contrast = cast(Contrast, values["contrast"])
    return Factorial(contrast, **texts, domains=domains, margin=_margin(values.get("margin"), where))


def _external(name: str, entry: Any, path: Path, students: tuple[str, ...]) -> External:
    where = f"{path}: external.{name}"
    values = _keys({"arms": list(students), **_mapping(entry, where)}, External, where, given=("name",))
    data = path.parent / _text(values["data"], f"{where}.data")
    if not data.is_file():
        raise StudyError(f"{where}: expected a configuration of a data module at {data} but there is none.")
    overrides = check_overrides(_sequence(values.get("overrides", []), f"{where}.overrides"))
    wrong = [flag for flag in overrides if flag.startswith("-") and not flag.startswith("--data.")]
    if wrong:
        raise StudyError(f"{where}: expected overrides of the data only (--data....) but got {wrong}.")
    arms = tuple(_text(arm, f"{where}.arms") for arm in _sequence(values["arms"], f"{where}.arms"))
    if not arms:
        raise StudyError(f"{where}: expected an arm or more but got none.")
    return External(_name(name, where), data, arms, overrides)


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
    named = [("family", name) for comparison in plan.family for name in (comparison.arm, comparison.reference)]
    named += [(f"external.{external.name}", arm) for external in plan.external for arm in external.arms]
    if plan.primary is not None:
        named += [("primary.arm", plan.primary.arm), ("primary.reference", plan.primary.reference)]
    if plan.factorial is not None:
        named += [("factorial.domains", name) for arms in plan.factorial.domains.values() for name in arms.values()]
    for where, name in named:
        if name not in students:
            raise StudyError(
                f"{path}: {where}: expected one of the student arms {students} but got {name!r}."
                f"{_did_you_mean(name, students)}"
            )
    for comparison in (*plan.family, *([plan.primary] if plan.primary else [])):
        if comparison.arm == comparison.reference:
            raise StudyError(f"{path}: expected two different arms to compare but got {comparison.arm!r} twice.")
    if plan.factorial is not None:
        used = [name for arms in plan.factorial.domains.values() for name in arms.values()]
        if sorted(used) != sorted(students):
            raise StudyError(f"{path}: factorial.domains: expected every student arm {students} once but got {used}.")
        by_arm = {name: domain for domain, arms in plan.factorial.domains.items() for name in arms.values()}
        for comparison in plan.family:
            if by_arm[comparison.arm] != by_arm[comparison.reference]:
                raise StudyError(
                    f"{path}: family: expected two arms of one domain but got {comparison.arm!r} and "
                    f"{comparison.reference!r}: they are tested on different images."
                )


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
