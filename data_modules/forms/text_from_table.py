"""Text rendered from a table."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from data_modules.forms.base import PrivilegedForm
from data_modules.split import Split, Table


class TextFromTable(PrivilegedForm):
    """One sentence per column, in a row: "Margins: ill defined and spiculated. Density: 3." for example.

    Missing values are not mentioned, so that the text says exactly what the table says.

    Args:
        keep_table: Whether to keep the table as well, for a teacher that reads both.
    """

    def __init__(self, keep_table: bool = False) -> None:
        self.keep_table = keep_table

    def __call__(self, splits: Mapping[str, Split]) -> dict[str, Split]:
        """Return the splits with text."""
        return {name: self._render(split) for name, split in splits.items()}

    def _render(self, split: Split) -> Split:
        if split.table is None:
            raise ValueError("Expected a table to render as text but the data set has none.")
        texts = [render(split.table, row) if has else "" for row, has in enumerate(split.has_privileged.tolist())]
        return replace(split, report=texts, table=split.table if self.keep_table else None)


def render(table: Table, row: int) -> str:
    """Return one row as text."""
    values: dict[str, list[str]] = {}
    for position in np.flatnonzero(table.categorical[row]):
        # categorical columns are named <column>=<value>
        column, _, value = table.categorical_names[position].partition("=")
        values.setdefault(column, []).append(_words(value))
    for name, number in zip(table.numeric_names, table.numeric[row], strict=True):
        if np.isfinite(number):
            values[name] = [f"{number:g}"]
    return " ".join(f"{_words(name).capitalize()}: {' and '.join(found)}." for name, found in values.items())


def _words(name: str) -> str:
    return name.replace("_", " ").replace("-", " ").lower()
