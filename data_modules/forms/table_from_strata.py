"""A table made from strata."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from data_modules.forms.base import PrivilegedForm
from data_modules.split import Split, Table


class TableFromStrata(PrivilegedForm):
    """Multi-hot columns of strata, such as view or side, for a teacher that knows nothing about the findings themselves.

    Samples without privileged input still have none, so that this teacher differs in its input but covers the same samples.

    Args:
        columns: Names of strata.
    """

    def __init__(self, columns: Sequence[str]) -> None:
        if not columns:
            raise ValueError("Expected names of strata but got none.")
        self.columns = tuple(columns)

    def __call__(self, splits: Mapping[str, Split]) -> dict[str, Split]:
        """Return the splits with the table, and without any text."""
        train = splits["train"]
        unknown = [name for name in self.columns if name not in train.strata]
        if unknown:
            raise ValueError(f"Expected strata of the data set, {sorted(train.strata)}, but got {unknown}.")
        # an empty value means unknown, which is no column
        atoms = [(name, value) for name in self.columns for value in np.unique(train.strata[name]).tolist() if value]
        if not atoms:
            raise ValueError(
                f"Expected values in the strata {list(self.columns)} of the training split but all are empty."
            )
        return {name: self._encode(split, atoms) for name, split in splits.items()}

    def _encode(self, split: Split, atoms: list[tuple[str, str]]) -> Split:
        encoded = np.stack([split.strata[name] == value for name, value in atoms], axis=1).astype(np.float32)
        names = tuple(f"{name}={value}" for name, value in atoms)
        table = Table(np.zeros((len(split), 0), np.float32), encoded, (), names)
        # a sample whose values all are unknown, or new to training, has no input
        return replace(split, table=table, report=None, has_privileged=split.has_privileged & (encoded.sum(axis=1) > 0))
