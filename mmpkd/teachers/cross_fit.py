"""Out-of-fold targets: predictions of teachers for patients that they were not trained on."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from data_modules.base import PrivilegedDataModule
from data_modules.split import patient_folds
from mmpkd.teachers.run_teachers import build_targets
from mmpkd.teachers.targets import TeacherTargets
from mmpkd.teachers.teacher import FrozenTeacher


def out_of_fold_targets(
    teachers: Sequence[FrozenTeacher], datamodule: PrivilegedDataModule, device: torch.device
) -> TeacherTargets:
    """Combine the predictions of teachers that were each trained without one fold of patients.

    On its own training samples, an overfitted teacher only repeats the labels. On patients that it has not seen, its
    predictions carry what it has learned.

    Args:
        teachers: One per fold; teacher k was trained with fold k held out (`--run.num_folds`, `--run.held_out_fold`).
        datamodule: Data with the whole training split.
        device: Device to compute on.

    Returns:
        Targets (1, N, K), each sample predicted by the teacher of its fold. There are no features, because each teacher has its
        own feature space.
    """
    split = datamodule.splits["train"]
    folds = patient_folds(split.patient_id, len(teachers))
    # every teacher predicts all samples; only the predictions for its own fold are kept
    parts = [build_targets([teacher], datamodule.privileged_dataloader("train"), split, device) for teacher in teachers]
    rows = np.arange(len(split))
    return replace(
        parts[0],
        logits=np.stack([part.logits[0] for part in parts])[folds, rows][None],
        features=np.zeros((len(split), 0), np.float16),
        meta=replace(parts[0].meta, teachers=[teacher.identity for teacher in teachers], num_folds=len(teachers)),
    )
