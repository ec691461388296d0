"""Privileged columns of a table: numbers, and categories as multi-hot columns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from data_modules.columns import numbers
from data_modules.split import Table


@dataclass(frozen=True)
class PrivilegedColumns:
    """Which columns only the teacher sees.

    Attributes:
        numeric: Columns of numbers.
        categorical: Columns of categories.
        separator: Separates several categories in one cell.
    """

    numeric: tuple[str, ...] = ()
    categorical: tuple[str, ...] = ()
    separator: str = "|"

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
            ValueError: If a cell of a numeric column is no number.
        """
        if not self.numeric and not self.categorical:
            return None
        numeric = np.zeros((len(rows), len(self.numeric)), dtype=np.float32)
        for position, name in enumerate(self.numeric):
            numeric[:, position] = numbers(rows[name], f"column '{name}' of '{file}' (data.numeric_columns)")
        names = [(column, value) for column in self.categorical for value in vocabulary[column]]
        hot = np.zeros((len(rows), len(names)), dtype=np.float32)
        cells = {column: [self._values(cell) for cell in rows[column]] for column in self.categorical}
        for position, (column, value) in enumerate(names):
            hot[:, position] = [value in values for values in cells[column]]
        return Table(numeric, hot, self.numeric, tuple(f"{column}={value}" for column, value in names))

    def _values(self, cell: object) -> set[str]:
        parts = cell.split(self.separator) if isinstance(cell, str) else []
        return {part.strip() for part in parts if part.strip()}
