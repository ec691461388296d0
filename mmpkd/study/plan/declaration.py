"""The questions of a study, written to a file before its first run, so that nobody has to be believed."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from data_modules.files.json_file import read_json, write_json
from mmpkd.study.plan.study_plan import StudyPlan

FILE = "declared.json"


def declare(plan: StudyPlan, out: Path, seeds: Sequence[int]) -> None:
    """Write down the declared questions and the seeds, unless an earlier start of the study did."""
    if not (out / FILE).is_file():
        write_json(out / FILE, {**_questions(plan), "seeds": list(seeds)})


def is_as_declared(plan: StudyPlan, out: Path) -> bool:
    """Return whether endpoint, margins and family are those that were written down before the first run."""
    path = out / FILE
    if not path.is_file():
        return False
    declared = read_json(path)
    del declared["seeds"]
    return bool(declared == json.loads(json.dumps(_questions(plan))))


def declared_seeds(out: Path) -> tuple[int, ...] | None:
    """Return the seeds that were written down before the first run, or None if none were."""
    path = out / FILE
    return tuple(read_json(path)["seeds"]) if path.is_file() else None


def _questions(plan: StudyPlan) -> dict[str, Any]:
    return {
        "primary": None if plan.primary is None else asdict(plan.primary),
        "factorial": None if plan.factorial is None else asdict(plan.factorial),
        "family": [asdict(comparison) for comparison in plan.family],
    }
