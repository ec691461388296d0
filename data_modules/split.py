"""A split in columns: readers of data sets produce it, and a `PrivilegedDataset` serves it."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data_modules.images.regions import Roi
from data_modules.processes.texts import Paths, Texts


def taken_out(label: str) -> str:
    """Return the name under which positives of a label are counted that left training with their annotated patients."""
    return f"positives_taken_out: {label}"


@dataclass(frozen=True)
class Table:
    """Privileged columns of N samples.

    Attributes:
        numeric: Float32 (N, F), NaN where missing.
        categorical: Float32 multi-hot (N, M), zeros where missing.
        numeric_names: F column names.
        categorical_names: M names, written `column=value`.
    """

    numeric: NDArray[np.float32]
    categorical: NDArray[np.float32]
    numeric_names: tuple[str, ...]
    categorical_names: tuple[str, ...]

    def __post_init__(self) -> None:
        found = (self.numeric.shape[1], self.categorical.shape[1])
        expected = (len(self.numeric_names), len(self.categorical_names))
        if found != expected:
            raise ValueError(f"Expected {expected} (numeric, categorical) columns, as named, but got {found}.")

    @property
    def has_value(self) -> NDArray[np.bool_]:
        """Bool (N,), whether a sample has a value in any column."""
        return np.asarray(self.categorical.any(axis=1) | np.isfinite(self.numeric).any(axis=1), dtype=np.bool_)


@dataclass(frozen=True)
class Split:
    """N samples in columns.

    Paths and reports are kept in arrays (`Paths`, `Texts`), whatever sequences they are given as, because loader processes
    share arrays.

    Attributes:
        sample_id: N unique identifiers.
        patient_id: N patient identifiers.
        image: N image files; empty paths where a data set is used without images.
        label: Float32 (N, K): 1, 0 or NaN.
        has_privileged: Bool (N,).
        report: N texts, or None if the data set has no text.
        table: Privileged columns, or None.
        rois: Annotated regions by position in the split. Training splits have none, by construction.
        counts: Numbers of what the reader kept and dropped, for the report.
        strata: N values by name, such as view or density, by which results can be broken down; empty where unknown.
    """

    sample_id: NDArray[np.str_]
    patient_id: NDArray[np.str_]
    image: Sequence[Path]
    label: NDArray[np.float32]
    has_privileged: NDArray[np.bool_]
    report: Sequence[str] | None = None
    table: Table | None = None
    rois: Mapping[int, tuple[Roi, ...]] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    strata: Mapping[str, NDArray[np.str_]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        n = len(self.sample_id)
        lengths = {
            "patient_id": len(self.patient_id),
            "image": len(self.image),
            "label": len(self.label),
            "has_privileged": len(self.has_privileged),
            "report": n if self.report is None else len(self.report),
            "table": n if self.table is None else len(self.table.numeric),
            **{f"strata '{name}'": len(values) for name, values in self.strata.items()},
        }
        wrong = {name: length for name, length in lengths.items() if length != n}
        if wrong:
            raise ValueError(f"Expected {n} rows in every column, one per sample, but got {wrong}.")
        if not isinstance(self.image, Paths):
            object.__setattr__(self, "image", Paths(self.image))
        if not isinstance(self.report, Texts | None):
            object.__setattr__(self, "report", Texts(self.report))
        if len(np.unique(self.sample_id)) != n:
            count = np.unique(self.sample_id, return_counts=True)[1]
            raise ValueError(f"Expected unique sample identifiers but {int((count > 1).sum())} occur twice or more.")

    def __len__(self) -> int:
        return len(self.sample_id)

    @cached_property
    def row_hashes(self) -> NDArray[np.uint64]:
        """A hash of everything that a teacher sees of each sample, (N,): identifier, label and privileged columns by name."""
        names = "\0".join([] if self.table is None else [*self.table.numeric_names, *self.table.categorical_names])
        arrays = [self.label, self.has_privileged[:, None]]
        if self.table is not None:
            arrays += [self.table.numeric, self.table.categorical]
        rows = [np.ascontiguousarray(array) for array in arrays]
        texts = [""] * len(self) if self.report is None else self.report
        result = np.empty(len(self), np.uint64)
        for position, (name, text) in enumerate(zip(self.sample_id.tolist(), texts, strict=True)):
            digest = hashlib.blake2b(digest_size=8)
            # without lengths, different splits of the same bytes into fields would have one hash
            for part in (names, name, text):
                encoded = part.encode()
                digest.update(f"{len(encoded)}:".encode() + encoded)
            # rows of arrays have a fixed length
            for row in rows:
                digest.update(row[position].tobytes())
            result[position] = int.from_bytes(digest.digest(), "little")
        return result

    def fingerprint(self) -> str:
        """Return a SHA-256 of everything that a teacher sees, in order."""
        return hashlib.sha256(self.row_hashes.tobytes()).hexdigest()

    def with_hashed_ids(self, key: str) -> "Split":
        """Return the split with identifiers replaced by keyed hashes (BLAKE2b), 16 hexadecimal digits each.

        Args:
            key: A secret, without which nobody can recover identifiers by hashing candidates.
        """

        def hashed(names: NDArray[np.str_]) -> NDArray[np.str_]:
            secret = hashlib.sha256(key.encode()).digest()
            found = {n: hashlib.blake2b(n.encode(), digest_size=8, key=secret).hexdigest() for n in set(names.tolist())}
            return np.array([found[n] for n in names.tolist()], dtype=np.str_)

        return replace(self, sample_id=hashed(self.sample_id), patient_id=hashed(self.patient_id))

    def take(self, rows: NDArray[np.int64]) -> "Split":
        """Return the samples at the given positions, in that order, renumbered from 0."""
        table = self.table
        if table is not None:
            table = replace(table, numeric=table.numeric[rows], categorical=table.categorical[rows])
        return replace(
            self,
            sample_id=self.sample_id[rows],
            patient_id=self.patient_id[rows],
            image=[self.image[i] for i in rows],
            label=self.label[rows],
            has_privileged=self.has_privileged[rows],
            report=None if self.report is None else [self.report[i] for i in rows],
            table=table,
            strata={name: values[rows] for name, values in self.strata.items()},
            rois={new: self.rois[int(old)] for new, old in enumerate(rows) if int(old) in self.rois},
        )


def patient_folds(patient_id: NDArray[np.str_], num_folds: int) -> NDArray[np.int64]:
    """Return the fold of each sample, in [0, num_folds); it depends on the set of patients, not on their order.

    Args:
        patient_id: (N,).
        num_folds: Number of folds; sizes differ by at most one patient.

    Raises:
        ValueError: If there are fewer than two folds, or fewer patients than folds.
    """
    patients, position = np.unique(patient_id, return_inverse=True)
    if not 2 <= num_folds <= len(patients):
        raise ValueError(f"Expected 2 to {len(patients)} folds, the number of patients, but got {num_folds}.")
    # a fixed seed: teachers of different folds must agree on them
    order = np.random.default_rng(0).permutation(len(patients))
    return (order % num_folds)[position.reshape(-1)]


def expected_splits(splits: Mapping[str, Split]) -> tuple[str, ...]:
    """Return the splits that must have samples: all three, or `test` of a data set that only tests students."""
    is_for_training = any(len(splits.get(name, ())) for name in ("train", "val"))
    return ("train", "val", "test") if is_for_training else ("test",)


class Splits(dict[str, Split]):
    """The splits of a data set by name. One that it has no samples of is refused in a line that says where to look.

    Args:
        splits: Splits by name.
        settings: Settings that decide which samples there are, for messages.
    """

    def __init__(self, splits: Mapping[str, Split], settings: str) -> None:
        super().__init__(splits)
        self.settings = settings

    def __missing__(self, name: str) -> Split:
        """Refuse.

        Raises:
            ValueError: Always.
        """
        raise ValueError(
            f"Expected samples in {name} but the data set has none, only in {', '.join(self)}. Check {self.settings}. Without "
            "samples in train and val, a data set serves `mmpkd test` only."
        )


def check_disjoint_patients(splits: Mapping[str, Split]) -> None:
    """Check that no patient is in two splits.

    Raises:
        ValueError: If a patient occurs in more than one split; names the splits and how many patients, never who.
    """
    names = sorted(splits)
    for position, first in enumerate(names):
        for second in names[position + 1 :]:
            shared = np.intersect1d(splits[first].patient_id, splits[second].patient_id)
            if len(shared):
                raise ValueError(
                    f"Expected every patient in one split only, but {len(shared)} patients are in both "
                    f"'{first}' and '{second}'. Split by patient, or drop them from training."
                )
