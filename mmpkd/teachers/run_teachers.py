"""Running frozen teachers once over a split, and storing their outputs next to the checkpoint."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from data_modules.base import PrivilegedDataModule
from data_modules.batch import Batch, Sample
from data_modules.split import Split
from mmpkd.metrics.classification import best_f1_threshold
from mmpkd.numerics.processes import all_gather, rank, world_size
from mmpkd.numerics.threads import suitable_threads
from mmpkd.teachers.target_files import load_targets
from mmpkd.teachers.targets import TargetsMeta, TeacherTargets, differences
from mmpkd.teachers.teacher import FrozenTeacher, move_privileged


class _BatchOutputs(NamedTuple):
    """Outputs of M teachers for a batch."""

    logits: NDArray[np.float32]  # (M, B, K)
    features: NDArray[np.float16]  # (B, D)
    available: NDArray[np.bool_]  # (B,)


def build_targets(
    teachers: Sequence[FrozenTeacher], loader: DataLoader[Sample], split: Split, device: torch.device
) -> TeacherTargets:
    """Run frozen teachers once over a split, in this process.

    Args:
        teachers: Teachers with the same labels.
        loader: Batches of the split in order, with privileged input. Images are not needed.
        split: The split that the loader serves.
        device: Device to compute on.

    Raises:
        ValueError: If the teachers have different labels, or the split lacks columns that they read.
    """
    _check(teachers, split)
    return _joined(_outputs(teachers, loader, device), teachers, split)


def shared_targets(
    teachers: Sequence[FrozenTeacher], datamodule: PrivilegedDataModule, name: str, device: torch.device
) -> TeacherTargets:
    """Run frozen teachers once over a split. Each of W processes computes every W-th batch, and all get the whole.

    The batches are those of a single process, so the outputs are the same bit by bit: rows that are computed together, and
    the length that reports are padded to, do not depend on W. This is a collective: every process must call it.

    Args:
        teachers: Teachers with the same labels.
        datamodule: Their data.
        name: Name of the split.
        device: Device of this process.

    Raises:
        ValueError: If the teachers have different labels, or the split lacks columns that they read.
    """
    split = datamodule.splits[name]
    _check(teachers, split)
    batch = np.arange(len(split)) // datamodule.batch_size
    rows = np.flatnonzero(batch % world_size() == rank())
    own = _outputs(teachers, datamodule.privileged_dataloader(name, rows), device)
    in_turn = zip_longest(*all_gather(own))  # the last processes may have one batch less
    return _joined([part for turn in in_turn for part in turn if part is not None], teachers, split)


def _check(teachers: Sequence[FrozenTeacher], split: Split) -> None:
    for teacher in teachers:
        teacher.teacher.encoder.check(split)
    if len({teacher.label_names for teacher in teachers}) != 1:
        raise ValueError(f"Expected teachers with the same labels but got {[list(t.label_names) for t in teachers]}.")


def _outputs(
    teachers: Sequence[FrozenTeacher], loader: DataLoader[Sample], device: torch.device
) -> list[_BatchOutputs]:
    for teacher in teachers:
        teacher.to(device)
    found = []
    batch: Batch
    for batch in loader:
        privileged = move_privileged(batch["privileged"], device)
        outputs = []
        for teacher in teachers:
            # teachers of an ensemble may differ in size
            with suitable_threads(teacher.teacher, device):
                outputs.append(teacher(privileged))
        logits = torch.stack([output.logits for output in outputs]).cpu().numpy()
        features = torch.cat([output.features for output in outputs], dim=1).cpu().half().numpy()
        # copied: an array from a loader process keeps its shared memory, and a file descriptor, open
        found.append(_BatchOutputs(logits, features, batch["has_privileged"].numpy().copy()))
    return found


def _joined(batches: Sequence[_BatchOutputs], teachers: Sequence[FrozenTeacher], split: Split) -> TeacherTargets:
    logits, features, available = zip(*batches, strict=True)
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

    This is a collective: every process must call it.

    Args:
        teachers: Teachers with the same labels.
        datamodule: Their data.
        device: Device to compute on.
    """
    train, val = (shared_targets(teachers, datamodule, name, device) for name in ("train", "val"))
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

    This is a collective: every process computes a share, and the first one writes. The name of the folder contains the hash of
    the checkpoint and the fingerprint of the split, and both are checked against its content, so stale targets are never used.

    Raises:
        ValueError: If the stored targets belong to another teacher or split than the folder's name says.
    """
    split = datamodule.splits["train"]
    name = f"{teacher.identity.checkpoint_sha256[:12]}-{split.fingerprint()[:12]}"
    # in a run folder, checkpoints are in a subfolder
    home = checkpoint.parent.parent if checkpoint.parent.name == "checkpoints" else checkpoint.parent
    folder = home / "targets" / name
    # asked in all processes, as one may see the folder that another has just written
    if not all(all_gather(folder.is_dir())):
        targets = training_targets([teacher], datamodule, device)
        if rank() == 0:
            targets.save(folder)
        else:  # what the first process checks: the others would wait for one that has failed
            targets.check_finite(folder)
        return targets
    targets = load_targets(folder)
    stale = differences(targets.meta, [teacher], split)
    if stale:
        raise ValueError(
            f"Expected targets of this teacher and split in '{folder}' but {'; '.join(stale)}. Delete the folder; the targets "
            "are then computed again."
        )
    return targets
