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
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from data_modules.columns import identifiers
from data_modules.files.array_file import read_array, write_array
from data_modules.files.atomic import write_text
from data_modules.files.json_file import read_json, write_json
from data_modules.split import Split
from mmpkd.teachers.teacher import FrozenTeacher, TeacherIdentity

REQUIRED = ("logits.npy", "available.npy", "sample_id.txt", "meta.json")


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
        _check_finite(self.logits, self.features, self.available, folder)

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


def load_targets(folder: Path) -> TeacherTargets:
    """Open stored targets. Arrays stay on disk until they are used.

    Raises:
        FileNotFoundError: If the folder is incomplete.
        ValueError: If the arrays do not have one row per identifier and one column per label, or another type, an identifier is
            blank or occurs twice, or a logit or feature of an available sample is not finite.
    """
    missing = [name for name in REQUIRED if not (folder / name).is_file()]
    if missing:
        raise FileNotFoundError(f"Expected stored targets in '{folder}' but {missing} are missing.")
    meta = _read_meta(folder / "meta.json")
    sample_id = _read_names(folder / "sample_id.txt", is_outside=not meta.teachers)
    logits = _read_numbers(folder / "logits.npy")
    if logits.ndim == 2:
        logits = logits[None]
    available = _read_available(folder / "available.npy")
    path = folder / "features.npy"
    features = _read_numbers(path) if path.is_file() else np.zeros((len(sample_id), 0), np.float16)
    expected = (len(sample_id), len(meta.label_names))
    shapes_fit = logits.shape[1:] == expected and features.shape[:1] == available.shape == expected[:1]
    if not shapes_fit or not len(logits) or features.ndim != 2:
        raise ValueError(
            f"Expected logits of shape {expected} (samples, labels) and one row per sample in '{folder}' but "
            f"got logits {logits.shape}, features {features.shape}, available {available.shape}."
        )
    if len(np.unique(sample_id)) != len(sample_id):
        raise ValueError(f"Expected unique identifiers in '{folder}/sample_id.txt' but some are repeated.")
    # numbers that overflow in the narrower types become infinite and are refused below
    with np.errstate(over="ignore"):
        logits = logits.astype(np.float32, copy=False)
        features = features.astype(np.float16, copy=False)
    _check_finite(logits, features, available, folder)
    hashes = folder / "row_hash.npy"
    return TeacherTargets(
        logits,
        features,
        available,
        sample_id,
        meta,
        read_array(hashes) if hashes.is_file() else None,
    )


def _read_names(path: Path, is_outside: bool) -> NDArray[np.str_]:
    try:
        # editors of Windows begin UTF-8 with a byte order mark, which would become part of the first name
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"Expected text in UTF-8 in '{path}' but got: {error}. Save it as UTF-8.") from error
    if not is_outside:
        return np.array(lines, dtype=np.str_)
    column = pd.Series(lines, index=pd.RangeIndex(1, len(lines) + 1, name="line"), dtype=object)
    return identifiers(column, f"'{path}'")


def _read_numbers(path: Path) -> NDArray[Any]:
    array = read_array(path)
    if array.dtype.kind not in "fiu":
        raise ValueError(f"Expected real numbers in '{path}' but got {array.dtype}.")
    return array


def _read_available(path: Path) -> NDArray[np.bool_]:
    array = read_array(path)
    # anything else that is not zero would count as True: texts, NaN, and positions of samples
    if array.dtype.kind not in "bfiu" or not np.isin(array, (0, 1)).all():
        raise ValueError(f"Expected True or False for each sample in '{path}' but got {array.dtype} with other values.")
    return array.astype(np.bool_, copy=False)


def _check_finite(
    logits: NDArray[np.float32], features: NDArray[np.float16], available: NDArray[np.bool_], folder: Path
) -> None:
    if not (np.isfinite(logits[:, available]).all() and np.isfinite(features[available]).all()):
        raise ValueError(
            f"Expected finite logits and features for '{folder}' but some are not. Mark samples without a teacher in "
            "available.npy, use logits log(p / (1 - p)) with p strictly between 0 and 1, and scale features to at most "
            f"{np.finfo(np.float16).max:.0f}, the largest float16."
        )


def _read_meta(path: Path) -> TargetsMeta:
    content = read_json(path)
    names = [entry.name for entry in fields(TargetsMeta)]
    unknown = sorted(set(content) - set(names))
    if unknown or "label_names" not in content:
        raise ValueError(f"Expected `label_names`, and optionally {names[1:]}, in '{path}' but got {sorted(content)}.")
    labels, thresholds = content["label_names"], content.get("thresholds")
    if not (isinstance(labels, list) and labels and all(isinstance(name, str) for name in labels)):
        raise ValueError(f"Expected a list of names as `label_names` in '{path}' but got {labels!r}.")
    if thresholds is not None and not _are_probabilities(thresholds, len(labels)):
        raise ValueError(f"Expected {len(labels)} probabilities as `thresholds` in '{path}' but got {thresholds!r}.")
    try:
        teachers = [TeacherIdentity(**entry) for entry in content.pop("teachers", [])]
    except TypeError as error:
        raise ValueError(f"Expected `teachers` in '{path}' as mmpkd writes them but got: {error}.") from error
    return TargetsMeta(**content, teachers=teachers)


def _are_probabilities(values: object, count: int) -> bool:
    numbers = values if isinstance(values, list) else []
    return len(numbers) == count and all(isinstance(value, int | float) and 0 <= value <= 1 for value in numbers)


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
