"""Out-of-fold targets: what a teacher says about patients that it was not trained on."""

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
    """Join the predictions of teachers that were each trained without one fold of patients.

    A teacher that has learned its training labels by heart tells a student nothing but these labels; on patients that it has
    not seen, it tells what it understood.

    Args:
        teachers: As many as there are folds; teacher k was trained with fold k held out (`--run.num_folds`,
            `--run.held_out_fold`).
        datamodule: Data with the whole training split.
        device: Where to compute.

    Returns:
        Targets (1, N, K), each sample from the teacher of its fold; no features, since each teacher has a feature space of its
        own.
    """
    split = datamodule.splits["train"]
    folds = patient_folds(split.patient_id, len(teachers))
    parts = [build_targets([teacher], datamodule.privileged_dataloader("train"), split, device) for teacher in teachers]
    rows = np.arange(len(split))
    return replace(
        parts[0],
        logits=np.stack([part.logits[0] for part in parts])[folds, rows][None],
        features=np.zeros((len(split), 0), np.float16),
        meta=replace(parts[0].meta, teachers=[teacher.identity for teacher in teachers], num_folds=len(teachers)),
    )
