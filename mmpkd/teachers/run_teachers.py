"""Running frozen teachers once over a split, and storing their outputs next to the checkpoint."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader

from data_modules.base import PrivilegedDataModule
from data_modules.batch import Batch, Sample
from data_modules.split import Split
from mmpkd.metrics.classification import best_f1_threshold
from mmpkd.numerics.threads import suitable_threads
from mmpkd.teachers.targets import TargetsMeta, TeacherTargets, differences, load_targets
from mmpkd.teachers.teacher import FrozenTeacher, move_privileged


def build_targets(
    teachers: Sequence[FrozenTeacher], loader: DataLoader[Sample], split: Split, device: torch.device
) -> TeacherTargets:
    """Run frozen teachers once over a split.

    Args:
        teachers: Teachers with the same labels.
        loader: Batches of the split in order, with privileged input. Images are not needed.
        split: The split that the loader serves.
        device: Device to compute on.

    Raises:
        ValueError: If the teachers have different labels, or the split lacks columns that they read.
    """
    for teacher in teachers:
        teacher.teacher.encoder.check(split)
    if len({teacher.label_names for teacher in teachers}) != 1:
        raise ValueError(f"Expected teachers with the same labels but got {[list(t.label_names) for t in teachers]}.")
    for teacher in teachers:
        teacher.to(device)
    logits = []
    features = []
    available = []
    batch: Batch
    for batch in loader:
        privileged = move_privileged(batch["privileged"], device)
        outputs = []
        for teacher in teachers:
            # teachers of an ensemble may differ in size
            with suitable_threads(teacher.teacher, device):
                outputs.append(teacher(privileged))
        logits.append(torch.stack([output.logits for output in outputs]).cpu().numpy())  # (M, B, K)
        features.append(torch.cat([output.features for output in outputs], dim=1).cpu().half().numpy())  # (B, D)
        available.append(batch["has_privileged"].numpy())
    return TeacherTargets(
        np.concatenate(logits, axis=1),
        np.concatenate(features),
        np.concatenate(available),
        split.sample_id,
        TargetsMeta(
            list(teachers[0].label_names), split.fingerprint(), [teacher.identity for teacher in teachers], 0, "mmpkd"
        ),
        split.row_hashes,
    )


def training_targets(
    teachers: Sequence[FrozenTeacher], datamodule: PrivilegedDataModule, device: torch.device
) -> TeacherTargets:
    """Run frozen teachers once over the training split, and once over the validation split to choose their thresholds.

    Args:
        teachers: Teachers with the same labels.
        datamodule: Their data.
        device: Device to compute on.
    """
    train, val = (
        build_targets(teachers, datamodule.privileged_dataloader(name), datamodule.splits[name], device)
        for name in ("train", "val")
    )
    reads = list(dict.fromkeys(name for teacher in teachers for name in teacher.teacher.encoder.reads))
    meta = replace(
        train.meta,
        reads=reads,
        privileged=datamodule.privileged_part,
        thresholds=_thresholds(val, datamodule.splits["val"]),
    )
    return replace(train, meta=meta)


def _thresholds(targets: TeacherTargets, split: Split) -> list[float] | None:
    known = np.flatnonzero(targets.available)
    if not len(known):
        return None
    probability = torch.from_numpy(targets.logits[:, known]).sigmoid().mean(0)  # (n, K), mean over teachers
    return [float(value) for value in best_f1_threshold(probability, torch.from_numpy(split.label[known]))]


def stored_targets(
    checkpoint: Path, teacher: FrozenTeacher, datamodule: PrivilegedDataModule, device: torch.device
) -> TeacherTargets:
    """Return the targets stored next to a teacher's checkpoint, computing them at first use.

    The name of the folder contains the hash of the checkpoint and the fingerprint of the split, and both are checked against
    its content, so stale targets are never used.

    Raises:
        ValueError: If the stored targets belong to another teacher or split than the folder's name says.
    """
    split = datamodule.splits["train"]
    name = f"{teacher.identity.checkpoint_sha256[:12]}-{split.fingerprint()[:12]}"
    # in a run folder, checkpoints are in a subfolder
    home = checkpoint.parent.parent if checkpoint.parent.name == "checkpoints" else checkpoint.parent
    folder = home / "targets" / name
    if not folder.is_dir():
        training_targets([teacher], datamodule, device).save(folder)
    targets = load_targets(folder)
    stale = differences(targets.meta, [teacher], split)
    if stale:
        raise ValueError(
            f"Expected targets of this teacher and split in '{folder}' but {'; '.join(stale)}. Delete the folder; the targets "
            "are then computed again."
        )
    return targets
