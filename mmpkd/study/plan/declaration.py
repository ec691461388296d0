"""The questions of a study, written to a file before its first run, so that anyone can check that they were not changed."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from data_modules.files.json_file import read_json, write_json
from mmpkd.study.plan.study_plan import StudyPlan

FILE = "declared.json"
ALLOWED = "may_differ_in"


def declare(plan: StudyPlan, out: Path, seeds: Sequence[int], finished: Sequence[str] = ()) -> None:
    """Write down the declared questions and the seeds, unless the study was declared when it was first started.

    Args:
        plan: The study.
        out: Folder of the study.
        seeds: Seeds of the student arms. A study with planned looks declares all seeds of its plan instead.
        finished: Names of student runs that are already finished; anything declared after them is exploratory.
    """
    # written once: a declaration that could follow the results would declare nothing
    if not (out / FILE).is_file():
        # looks count seeds of the plan, of which `--seeds` may start only the first
        declared = plan.seeds if plan.looks else seeds
        others = {"seeds": list(declared), "finished": list(finished), ALLOWED: _allowed(plan)}
        write_json(out / FILE, {**_questions(plan), **others})


def is_as_declared(plan: StudyPlan, out: Path) -> bool:
    """Return whether endpoint, margins, family, gate and looks are the ones written down before any run was finished.

    What arms may differ in is no part of the question: it changes neither a difference nor its test, and the answer names what
    differs. See `allowed_since` for what was added later.
    """
    path = out / FILE
    if not path.is_file():
        return False
    declared = read_json(path)
    questions = {name: value for name, value in declared.items() if name not in ("seeds", "finished", ALLOWED)}
    # through JSON, because the file has lists where the plan has tuples
    return bool(questions == json.loads(json.dumps(_questions(plan)))) and not declared["finished"]


def allowed_since(plan: StudyPlan, out: Path) -> dict[str, list[str]]:
    """Return what arms may differ in that was not allowed when the study was declared, by arm."""
    path = out / FILE
    if not path.is_file():
        return {}
    # studies declared by an earlier version allowed nothing
    before: dict[str, list[str]] = read_json(path).get(ALLOWED, {})
    added: dict[str, list[str]] = {}
    for name, aspects in _allowed(plan).items():
        new = [aspect for aspect in aspects if aspect not in before.get(name, ())]
        if new:
            added[name] = new
    return added


def declared_seeds(out: Path) -> tuple[int, ...] | None:
    """Return the seeds written down before the first run, or None if there are none."""
    path = out / FILE
    return tuple(read_json(path)["seeds"]) if path.is_file() else None


def _questions(plan: StudyPlan) -> dict[str, Any]:
    return {
        "primary": None if plan.primary is None else asdict(plan.primary),
        "factorial": None if plan.factorial is None else asdict(plan.factorial),
        "family": [asdict(comparison) for comparison in plan.family],
        "gate": plan.gate,
        "looks": list(plan.looks),
    }


def _allowed(plan: StudyPlan) -> dict[str, list[str]]:
    return {arm.name: list(arm.may_differ_in) for arm in plan.arms if arm.may_differ_in}
