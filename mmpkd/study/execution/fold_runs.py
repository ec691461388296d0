"""Runs of one teacher, each with another fold of patients held out."""

from collections.abc import Sequence
from pathlib import Path

from mmpkd.study.execution.run import Run
from mmpkd.study.plan.study_plan import Arm


def fold_runs(config: Path, out: Path, num_folds: int, overrides: Sequence[str]) -> list[Run]:
    """Return the runs whose teachers predict the patients that they were not trained on.

    Args:
        config: Experiment of the teacher.
        out: Folder of the targets; the runs go beside it.
        num_folds: Folds of patients.
        overrides: Flags of every run.
    """
    runs = []
    for fold in range(num_folds):
        folder = out.with_name(f"{out.name}_runs") / f"fold{fold}"
        flags = (
            *("--config", str(config), "--run.dir", str(folder), "--run.num_folds", str(num_folds)),
            *("--run.held_out_fold", str(fold), "--run.job_type", "fold", *overrides),
        )
        runs.append(Run(Arm(f"fold{fold}", (config,), "teacher"), 0, folder, flags, None))
    return runs
