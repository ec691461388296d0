"""Runs of one teacher, each with a different fold of patients held out."""

from collections.abc import Sequence
from pathlib import Path

from mmpkd.study.execution.run import Fold, Run
from mmpkd.study.plan.flags import parse_flags
from mmpkd.study.plan.study_plan import Arm


def fold_runs(config: Path, out: Path, num_folds: int, overrides: Sequence[str]) -> list[Run]:
    """Return runs of a teacher, each of which predicts the fold of patients that it was not trained on.

    Args:
        config: Configuration of the teacher.
        out: Folder of the targets; the folder of the runs is created beside it.
        num_folds: Number of folds of patients.
        overrides: Flags of every run.
    """
    arm = Arm("fold", (config,), "teacher")
    folder = out.with_name(f"{out.name}_runs")
    flags = parse_flags(overrides)
    return [
        Run(arm, 0, folder / f"fold{fold}", overrides=flags, fold=Fold(fold, num_folds)) for fold in range(num_folds)
    ]
