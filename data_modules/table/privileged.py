"""Privileged columns of a table: a text, numbers, and categories as multi-hot columns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data_modules.columns import numbers
from data_modules.split import Table


@dataclass(frozen=True)
class PrivilegedColumns:
    """Columns that only the teacher sees.

    Attributes:
        text: Column with a text, or None. A sample without text has no privileged input.
        numeric: Columns with numbers.
        categorical: Columns with categories. Those that occur in training are the vocabulary; others are ignored.
        separator: Separates several categories in one cell.

    Raises:
        ValueError: If the separator is empty.
    """

    text: str | None = None
    numeric: tuple[str, ...] = ()
    categorical: tuple[str, ...] = ()
    separator: str = "|"

    def __post_init__(self) -> None:
        if not self.separator:
            raise ValueError(f"Expected text as data.privileged.separator but got {self.separator!r}.")

    @property
    def used(self) -> dict[str, tuple[str, ...]]:
        """The columns by the setting that names them."""
        return {
            "privileged.text": (self.text,) if self.text else (),
            "privileged.numeric": self.numeric,
            "privileged.categorical": self.categorical,
        }

    def vocabulary(self, train: pd.DataFrame) -> dict[str, list[str]]:
        """Return the categories of each column that occur in training."""
        found: dict[str, set[str]] = {column: set() for column in self.categorical}
        for column, values in found.items():
            for cell in train[column].dropna().unique():
                values |= self._values(cell)
        return {column: sorted(values) for column, values in found.items()}

    def table(self, rows: pd.DataFrame, vocabulary: Mapping[str, Sequence[str]], file: str) -> Table | None:
        """Return the columns of some rows, or None if there are none.

        Args:
            rows: N rows of cells.
            vocabulary: Categories by column; others are ignored.
            file: Name of the file, for messages.

        Raises:
            ValueError: If a cell of a numeric column is not a number.
        """
        if not self.numeric and not self.categorical:
            return None
        numeric = np.zeros((len(rows), len(self.numeric)), dtype=np.float32)
        for position, name in enumerate(self.numeric):
            numeric[:, position] = numbers(rows[name], f"column '{name}' of '{file}' (data.privileged.numeric)")
        hot = [self._multi_hot(rows[column], vocabulary[column]) for column in self.categorical]
        names = [f"{column}={value}" for column in self.categorical for value in vocabulary[column]]
        # the empty block is for a table without categories
        stacked = np.concatenate([np.zeros((len(rows), 0), dtype=np.float32), *hot], axis=1)
        return Table(numeric, stacked, self.numeric, tuple(names))

    def _multi_hot(self, cells: "pd.Series[str]", vocabulary: Sequence[str]) -> NDArray[np.float32]:
        """Return float32 (N, M), one column per category; zeros where a cell is blank."""
        position = {value: number for number, value in enumerate(vocabulary)}
        code, different = pd.factorize(cells)
        # blank cells have the code -1, so the last row stays zero for them
        encoded = np.zeros((len(different) + 1, len(vocabulary)), dtype=np.float32)
        for row, cell in enumerate(different):
            encoded[row, [position[value] for value in self._values(cell) if value in position]] = 1
        return encoded[code]

    def _values(self, cell: object) -> set[str]:
        parts = cell.split(self.separator) if isinstance(cell, str) else []
        return {part.strip() for part in parts if part.strip()}
