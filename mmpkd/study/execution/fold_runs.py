"""Runs of one teacher, each with another fold of patients held out."""

from collections.abc import Sequence
from pathlib import Path

from mmpkd.study.execution.run import Fold, Run
from mmpkd.study.plan.flags import parse_flags
from mmpkd.study.plan.study_plan import Arm


def fold_runs(config: Path, out: Path, num_folds: int, overrides: Sequence[str]) -> list[Run]:
    """Return the runs whose teachers predict the patients that they were not trained on.

    Args:
        config: Experiment of the teacher.
        out: Folder of the targets; the runs go beside it.
        num_folds: Folds of patients.
        overrides: Flags of every run.
    """
    arm = Arm("fold", (config,), "teacher")
    folder = out.with_name(f"{out.name}_runs")
    flags = parse_flags(overrides)
    return [
        Run(arm, 0, folder / f"fold{fold}", overrides=flags, fold=Fold(fold, num_folds)) for fold in range(num_folds)
    ]
