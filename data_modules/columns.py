"""Check names of columns and values before they are used, with the nearest known name in the message."""

import difflib
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd


def check_names(names: Iterable[str], known: Sequence[str], what: str) -> None:
    """Check that every name is known.

    Args:
        names: What a configuration names.
        known: What there is.
        what: What the names are, for the message, for example "columns of 'table.csv'".

    Raises:
        ValueError: If a name is unknown; suggests the nearest known one.
    """
    unknown = [name for name in names if name not in known]
    if unknown:
        near = difflib.get_close_matches(unknown[0], list(known), n=1, cutoff=0.6)
        hint = f" Did you mean '{near[0]}'?" if near else ""
        raise ValueError(f"Expected names of {what} but got {unknown}.{hint} There are: {', '.join(known)}.")


def binary_column(column: pd.Series, what: str, allowed: Sequence[float] = (0.0, 1.0)) -> npt.NDArray[np.float32]:
    """Read a column of labels.

    Args:
        column: Numbers or their spellings, booleans, or blanks.
        what: What the column is, for the message.
        allowed: The numbers that may occur.

    Returns:
        Float32 (N,): one of the allowed numbers, or NaN for a blank cell.

    Raises:
        ValueError: If a cell holds anything else.
    """
    values = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float32, na_value=np.nan)
    wrong = column.notna().to_numpy() & ~np.isin(values, np.asarray(allowed, dtype=np.float32))
    if wrong.any():
        examples = sorted({str(value) for value in column[wrong].unique()})[:3]
        expected = ", ".join(f"{value:g}" for value in allowed)
        raise ValueError(
            f"Expected {what} to hold {expected} or blank but {int(wrong.sum())} cells hold something else, for example "
            f"{examples}. Map them to these values first."
        )
    return values
