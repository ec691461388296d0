"""What a study declared before its first run, so that nobody has to be believed."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from data_modules.json_file import write_json
from mmpkd.study.plan import StudyPlan

FILE = "declared.json"


def declare(plan: StudyPlan, out: Path) -> None:
    """Write down the declared questions, unless an earlier start of the study did."""
    if not (out / FILE).is_file():
        write_json(out / FILE, _questions(plan))


def is_as_declared(plan: StudyPlan, out: Path) -> bool:
    """Return whether endpoint, margins and family are those that were written down before the first run."""
    path = out / FILE
    return path.is_file() and json.loads(path.read_text()) == json.loads(json.dumps(_questions(plan)))


def _questions(plan: StudyPlan) -> dict[str, Any]:
    return {
        "primary": None if plan.primary is None else asdict(plan.primary),
        "factorial": None if plan.factorial is None else asdict(plan.factorial),
        "family": [asdict(comparison) for comparison in plan.family],
    }
