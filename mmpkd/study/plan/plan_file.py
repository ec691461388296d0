"""The YAML file of a study, parsed and checked before anything runs."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from data_modules.files.yaml_file import read_yaml
from mmpkd.study.plan.entries import at, check_keys, mapping, parsed
from mmpkd.study.plan.errors import StudyError
from mmpkd.study.plan.flags import check_overrides
from mmpkd.study.plan.questions import Comparison, Factorial, check_endpoint
from mmpkd.study.plan.references import check_references
from mmpkd.study.plan.study_plan import Arm, External, StudyPlan


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
        content = read_yaml(path)
    except ValueError as error:
        raise StudyError(str(error)) from error
    with at(str(path)):
        plan = _plan(mapping(content), path.parent)
        check_references(plan)
    return plan


def _plan(values: dict[str, Any], folder: Path) -> StudyPlan:
    """Parse the nested parts first, and then the plan."""
    # before the nested parts, so that a misspelt `primary` is not reported as missing
    check_keys(StudyPlan, values)
    # nested parts move from `values` to `parts`, since `parsed` converts only what is left in `values`
    parts: dict[str, Any] = {}
    if "arms" in values:
        parts["arms"] = _arms(values.pop("arms"), folder)
    for name, kind in (("primary", Comparison), ("factorial", Factorial)):
        if name in values:
            with at(name):
                parts[name] = parsed(kind, mapping(values.pop(name)))
    # before the family, whose members inherit from the endpoint
    check_endpoint(parts.get("primary"), parts.get("factorial"))
    if "family" in values:
        parts["family"] = _family(values.pop("family"), parts.get("primary") or parts["factorial"])
    if "external" in values:
        parts["external"] = _external(values.pop("external"), parts.get("arms", ()), folder)
    plan = parsed(StudyPlan, values, **parts)
    check_overrides(plan.overrides)
    return plan


def _arms(entries: object, folder: Path) -> tuple[Arm, ...]:
    arms = []
    with at("arms"):
        named = mapping(entries)
    for name, entry in named.items():
        with at(f"arms.{name}"):
            arms.append(_arm(name, mapping(entry), folder))
    return tuple(arms)


def _arm(name: str, values: dict[str, Any], folder: Path) -> Arm:
    config = values.get("config")
    if isinstance(config, str):
        values["config"] = [config]
    arm = parsed(Arm, values, name=name)
    check_overrides(arm.overrides)
    configs = tuple(folder / path for path in arm.config)
    missing = [str(path) for path in configs if not path.is_file()]
    if missing or not configs:
        raise StudyError(f"Expected configuration files at {missing} but there are none.")
    return replace(arm, config=configs)


def _family(entries: object, endpoint: Comparison | Factorial) -> tuple[Comparison, ...]:
    """Parse the family. Its members take everything that they do not set from the endpoint, except the margin."""
    with at("family"):
        if not isinstance(entries, list):
            raise StudyError(f"Expected a list but got {entries!r}.")
        # a margin is a judgement about one comparison, so it is not inherited
        same = {name: getattr(endpoint, name) for name in ("attribution", "score", "unit", "average")}
        return tuple(parsed(Comparison, {**same, **mapping(entry)}) for entry in entries)


def _external(entries: object, arms: Sequence[Arm], folder: Path) -> tuple[External, ...]:
    students = [arm.name for arm in arms if arm.role == "student"]
    found = []
    with at("external"):
        named = mapping(entries)
    for name, entry in named.items():
        with at(f"external.{name}"):
            own = parsed(External, {"arms": students, **mapping(entry)}, name=name)
            found.append(_checked_external(own, folder))
    return tuple(found)


def _checked_external(external: External, folder: Path) -> External:
    data = folder / external.data
    if not data.is_file():
        raise StudyError(f"Expected a configuration of a data module at {data} but there is none.")
    # the student is the trained one, so no other setting may change
    wrong = [" ".join(flag.words) for flag in check_overrides(external.overrides) if not flag.is_of_data]
    if wrong:
        raise StudyError(f"Expected overrides of the data only (--data....) but got {wrong}.")
    return replace(external, data=data)
