"""Stored targets: outputs of a frozen teacher for every training sample, computed once and looked up by index.

A folder of targets contains

    logits.npy      float32 (N, K), or (M, N, K) for M teachers whose probabilities are averaged; before the sigmoid
    available.npy   bool (N,), whether a sample has a teacher
    sample_id.txt   N identifiers, one per line
    meta.json       {"label_names": [...]} and optionally the other fields of `TargetsMeta`
    features.npy    float16 (N, D), for losses between features; optional
    row_hash.npy    uint64 (N,), hashes of the samples that the outputs belong to; none for outside models

Outputs of any outside model can be used in this format.
"""

import shutil
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from data_modules.files.array_file import write_array
from data_modules.files.atomic import write_text
from data_modules.files.json_file import write_json
from data_modules.split import Split
from mmpkd.teachers.teacher import FrozenTeacher, TeacherIdentity


@dataclass(frozen=True)
class TargetsMeta:
    """The labels, samples and teachers that stored targets belong to.

    Attributes:
        label_names: Names of the K labels, in the order of the logits.
        split_fingerprint: `Split.fingerprint` of the samples; empty for targets of an outside model.
        teachers: The teachers, in the order of the logits or of the folds; empty for an outside model.
        num_folds: Number of patient folds, each predicted by a teacher that was trained without it; 0 if the targets are not
            out-of-fold.
        source: Program or model that computed the targets.
        reads: The teachers' input: `text`, and names of columns.
        privileged: Part of the privileged information that they got, such as sections of a report or a set of columns.
        thresholds: K probabilities with the best F1 on the validation split, or None if unknown.
    """

    label_names: list[str]
    split_fingerprint: str = ""
    teachers: list[TeacherIdentity] = field(default_factory=list)
    num_folds: int = 0
    source: str = "unknown"
    reads: list[str] = field(default_factory=list)
    privileged: str = ""
    thresholds: list[float] | None = None


@dataclass(frozen=True)
class TeacherTargets:
    """Outputs of M frozen teachers for N samples.

    Attributes:
        logits: Float32 (M, N, K).
        features: Float16 (N, D), concatenated for several teachers; D is 0 if there are none.
        available: Bool (N,), whether the sample has a teacher, which needs privileged input.
        sample_id: N identifiers.
        meta: The labels, samples and teachers that the targets belong to.
        row_hash: Uint64 (N,), `Split.row_hashes` of the samples, or None for targets of an outside model.
    """

    logits: NDArray[np.float32]
    features: NDArray[np.float16]
    available: NDArray[np.bool_]
    sample_id: NDArray[np.str_]
    meta: TargetsMeta
    row_hash: NDArray[np.uint64] | None = None

    def align(self, split: Split) -> "TeacherTargets":
        """Return the targets in the order of a split's samples, matched by identifier.

        Samples without targets have no teacher. Nothing is copied if the order is the same.

        Raises:
            ValueError: If no sample has a teacher, or labels or privileged input of a sample changed after the targets were
                computed.
        """
        position = {name: row for row, name in enumerate(self.sample_id.tolist())}
        # -1 for samples without targets, which `available` masks below
        rows = np.array([position.get(name, -1) for name in split.sample_id.tolist()], dtype=np.int64)
        known = rows >= 0
        if self.row_hash is not None:
            stale = int((self.row_hash[rows[known]] != split.row_hashes[known]).sum())
            if stale:
                raise ValueError(
                    f"Expected the samples that the targets were computed for but labels or privileged input of {stale} of "
                    f"{int(known.sum())} have changed. Compute the targets again."
                )
        available = np.asarray(self.available)[rows] & known
        if not available.any():
            raise ValueError(
                f"Expected targets for {len(rows)} training samples but none has a teacher: {int(known.sum())} identifiers "
                "match. Check sample_id.txt and available.npy."
            )
        if np.array_equal(rows, np.arange(len(self.sample_id))):
            return self
        return TeacherTargets(
            np.asarray(self.logits)[:, rows],
            np.asarray(self.features)[rows],
            available,
            split.sample_id,
            self.meta,
            None if self.row_hash is None else self.row_hash[rows],
        )

    def check_finite(self, folder: Path) -> None:
        """Check the outputs of samples that have a teacher.

        Args:
            folder: Folder of the targets, for the message.

        Raises:
            ValueError: If a logit or feature is not finite in its data type.
        """
        has_teacher = self.available
        if not (np.isfinite(self.logits[:, has_teacher]).all() and np.isfinite(self.features[has_teacher]).all()):
            raise ValueError(
                f"Expected finite logits and features for '{folder}' but some are not. Mark samples without a teacher in "
                "available.npy, use logits log(p / (1 - p)) with p strictly between 0 and 1, and scale features to at most "
                f"{np.finfo(np.float16).max:.0f}, the largest float16."
            )

    def save(self, folder: Path) -> None:
        """Write the folder in one step: it is complete or not there.

        Raises:
            DiskFullError: If there is no room for it. Nothing is left behind.
            ValueError: If a logit or feature of an available sample is not finite in its data type.
        """
        self.check_finite(folder)
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}.tmp")
        temporary.mkdir()
        try:
            self._write(temporary)
            temporary.replace(folder)
        except OSError:
            # another run of the same study was faster, and its targets are the same
            if not (folder / "meta.json").is_file():
                raise
        finally:
            # also after Ctrl-C, or where the disk is full
            shutil.rmtree(temporary, ignore_errors=True)

    def _write(self, folder: Path) -> None:
        """Write all files to disk: after a power failure, a folder with its final name must not contain half of them."""
        for name in ("logits", "features", "available"):
            write_array(folder / f"{name}.npy", getattr(self, name))
        if self.row_hash is not None:
            write_array(folder / "row_hash.npy", self.row_hash)
        write_text(folder / "sample_id.txt", "\n".join(self.sample_id.tolist()) + "\n")
        write_json(folder / "meta.json", asdict(self.meta))


def empty_targets(split: Split, label_names: Sequence[str]) -> TeacherTargets:
    """Return targets of zeros in which no sample has a teacher."""
    n = len(split)
    logits = np.zeros((1, n, len(label_names)), np.float32)
    features = np.zeros((n, 0), np.float16)
    return TeacherTargets(logits, features, np.zeros(n, np.bool_), split.sample_id, TargetsMeta(list(label_names)))


def cooled(targets: TeacherTargets, temperature: float) -> TeacherTargets:
    """Return targets with logits divided by a temperature, and with thresholds that give the same predictions."""
    thresholds = targets.meta.thresholds
    if thresholds is not None:
        logits = torch.tensor(thresholds, dtype=torch.float64).logit(1e-12) / temperature
        thresholds = logits.sigmoid().tolist()
    meta = replace(targets.meta, thresholds=thresholds)
    return replace(targets, logits=targets.logits / np.float32(temperature), meta=meta)


def differences(meta: TargetsMeta, teachers: Sequence[FrozenTeacher], split: Split) -> list[str]:
    """Return descriptions of how stored targets differ from the given teachers and split; empty if they match."""
    found = []
    if len(meta.teachers) != len(teachers):
        found.append(f"they come from {len(meta.teachers)} teachers instead of {len(teachers)}")
    for position, (stored, teacher) in enumerate(zip(meta.teachers, teachers, strict=False)):
        for name, value in asdict(teacher.identity).items():
            other = asdict(stored)[name]
            if other != value:
                words = name.removesuffix("_sha256")
                found.append(f"the {words} of teacher {position} is {other[:12]} instead of {value[:12]}")
        if list(teacher.label_names) != meta.label_names:
            found.append(f"their labels are {meta.label_names} instead of {list(teacher.label_names)}")
    if meta.split_fingerprint != split.fingerprint():
        found.append(f"their split is {meta.split_fingerprint[:12]} instead of {split.fingerprint()[:12]}")
    return found
