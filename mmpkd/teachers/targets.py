"""Stored targets: what a frozen teacher says about every training sample, computed once and looked up by index.

A folder holds `logits.npy` float32 (N, K), `features.npy` float16 (N, D), `available.npy` bool (N,), `sample_id.txt`
with one identifier a line, and `meta.json`. Outputs of any outside model can be given in this format.
"""

import json
import shutil
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from data_modules.batch import Batch, Sample
from data_modules.split import Split
from mmpkd.teachers.teacher import FrozenTeacher, move_privileged


@dataclass(frozen=True)
class TargetsMeta:
    """What stored targets belong to.

    Attributes:
        teacher_sha256: Hash of the teacher's checkpoint.
        split_fingerprint: `Split.fingerprint` of the samples.
        label_names: Labels, in the order of the logits.
    """

    teacher_sha256: str
    split_fingerprint: str
    label_names: list[str]


@dataclass(frozen=True)
class TeacherTargets:
    """Outputs of a frozen teacher for N samples.

    Attributes:
        logits: Float32 (N, K).
        features: Float16 (N, D).
        available: Bool (N,), whether the teacher had privileged input.
        sample_id: N identifiers.
        meta: What the targets belong to.
    """

    logits: NDArray[np.float32]
    features: NDArray[np.float16]
    available: NDArray[np.bool_]
    sample_id: NDArray[np.str_]
    meta: TargetsMeta

    def align(self, sample_id: NDArray[np.str_]) -> "TeacherTargets":
        """Return the targets of the given samples, joined by identifier, in that order.

        A sample that the targets do not know has no teacher.

        Raises:
            ValueError: If not one of the samples is known.
        """
        position = {name: row for row, name in enumerate(self.sample_id.tolist())}
        rows = np.array([position.get(name, -1) for name in sample_id.tolist()], dtype=np.int64)
        known = rows >= 0
        if not known.any():
            raise ValueError(f"Expected targets for {len(rows)} training samples but found none by identifier.")
        return TeacherTargets(
            np.asarray(self.logits)[rows],
            np.asarray(self.features)[rows],
            np.asarray(self.available)[rows] & known,
            sample_id,
            self.meta,
        )

    def save(self, folder: Path) -> None:
        """Write the folder, all or nothing."""
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        np.save(temporary / "logits.npy", self.logits)
        np.save(temporary / "features.npy", self.features)
        np.save(temporary / "available.npy", self.available)
        (temporary / "sample_id.txt").write_text("\n".join(self.sample_id.tolist()) + "\n")
        (temporary / "meta.json").write_text(json.dumps(asdict(self.meta), indent=2) + "\n")
        try:
            temporary.replace(folder)
        except OSError:
            # another run of the same study was faster; its targets are the same
            if not (folder / "meta.json").is_file():
                raise
            shutil.rmtree(temporary)


def load_targets(folder: Path) -> TeacherTargets:
    """Open stored targets; arrays stay on disk until they are used.

    Raises:
        FileNotFoundError: If the folder is incomplete.
        ValueError: If the arrays do not have one row per identifier and one column per label.
    """
    names = ("logits.npy", "features.npy", "available.npy", "sample_id.txt", "meta.json")
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise FileNotFoundError(f"Expected stored targets in '{folder}' but it lacks {missing}.")
    logits, features, available = (np.load(folder / name, mmap_mode="r") for name in names[:3])
    sample_id = np.array((folder / "sample_id.txt").read_text().splitlines(), dtype=np.str_)
    meta = TargetsMeta(**json.loads((folder / "meta.json").read_text()))
    expected = (len(sample_id), len(meta.label_names))
    if logits.shape != expected or len(features) != expected[0] or len(available) != expected[0]:
        raise ValueError(
            f"Expected logits of shape {expected} (samples, labels) and one row per sample in '{folder}' but "
            f"got logits {logits.shape}, features {features.shape}, available {available.shape}."
        )
    return TeacherTargets(logits, features, available, sample_id, meta)


def build_targets(
    teacher: FrozenTeacher, loader: DataLoader[Sample], split: Split, device: torch.device
) -> TeacherTargets:
    """Run a frozen teacher once over a split.

    Args:
        teacher: The teacher.
        loader: Batches of the split in order, with privileged input; no image is needed.
        split: The split that the loader serves.
        device: Where to compute.
    """
    teacher.to(device)
    logits, features, available = [], [], []
    batch: Batch
    for batch in loader:
        output = teacher(move_privileged(batch["privileged"], device))
        logits.append(output.logits.cpu().numpy())
        features.append(output.features.cpu().numpy().astype(np.float16))
        available.append(batch["has_privileged"].numpy())
    return TeacherTargets(
        np.concatenate(logits),
        np.concatenate(features),
        np.concatenate(available),
        split.sample_id,
        TargetsMeta(teacher.sha256, split.fingerprint(), list(teacher.label_names)),
    )


def stored_targets(
    checkpoint: Path, teacher: FrozenTeacher, loader: DataLoader[Sample], split: Split, device: torch.device
) -> TeacherTargets:
    """Return the targets kept beside a teacher's checkpoint, computing them at first use.

    The folder's name holds the hash of the checkpoint and the fingerprint of the split, and both are checked again: a
    stale file is refused, never used.

    Raises:
        ValueError: If the stored targets belong to another teacher or split than their place says.
    """
    fingerprint = split.fingerprint()
    name = f"{teacher.sha256[:12]}-{fingerprint[:12]}"
    folder = checkpoint.parent.parent / "targets" / name
    if not folder.is_dir():
        build_targets(teacher, loader, split, device).save(folder)
    targets = load_targets(folder)
    found = (targets.meta.teacher_sha256, targets.meta.split_fingerprint)
    if found != (teacher.sha256, fingerprint):
        raise ValueError(
            f"Expected targets of teacher {teacher.sha256[:12]} for split {fingerprint[:12]} in '{folder}' but they "
            f"belong to {found[0][:12]} and {found[1][:12]}. Delete the folder; it is made again."
        )
    return targets
