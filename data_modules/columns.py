"""Check column names and values before they are used; messages suggest the nearest name and say which rows are wrong."""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from data_modules.suggestion import did_you_mean

NUM_NAMED = 5
# long numbers as floats and spreadsheets write them
_SCIENTIFIC = re.compile(r"[+-]?\d(\.\d+)?[eE]\+\d+")
# whole numbers, and with the `.0` that floats are written with
_WHOLE = re.compile(r"[+-]?\d+(\.0)?")
# integers below are exact in float64
_LARGEST_EXACT = 2**53
# what R, pandas, Python and SQL write where a value is missing
WORDS_FOR_MISSING = ("NA", "nan", "NaN", "<NA>", "None", "NULL")
_TRUTH = {"true": "1", "false": "0"}


def check_names(names: Iterable[str], known: Sequence[str], what: str) -> None:
    """Check that every name is known.

    Args:
        names: Names in a configuration.
        known: Names that exist.
        what: A description of the names for the message, for example "columns of 'table.csv'".

    Raises:
        ValueError: If a name is unknown; suggests the nearest known one.
    """
    unknown = [name for name in names if name not in known]
    if unknown:
        hint = did_you_mean(unknown[0], known)
        raise ValueError(f"Expected names of {what} but got {unknown}.{hint} There are: {', '.join(known)}.")


def rows_in_words(column: "pd.Series[Any]", where: npt.NDArray[np.bool_]) -> str:
    """Return the rows of some cells for a message, such as `rows 3, 5, 8`.

    Args:
        column: N cells. An index without a name is that of `pandas.read_csv`, which begins with 0 below the header; any other is
            named as it is, for example `study_id 50414267`.
        where: Bool (N,), True for the cells to name.
    """
    index = column.index[where]
    labels = index if index.name is not None else index + 2
    name = "row" if index.name is None else str(index.name)
    named = [str(label) for label in labels[:NUM_NAMED]]
    more = f" and {len(labels) - NUM_NAMED} more" if len(labels) > NUM_NAMED else ""
    return f"{name}{'s' if len(labels) > 1 else ''} {', '.join(named)}{more}"


def identifiers(column: "pd.Series[str]", what: str) -> npt.NDArray[np.str_]:
    """Return a column of identifiers as text.

    Blanks are refused: one of them makes NumPy cut every identifier to one character, and pandas turn integers into floats.

    Args:
        column: N identifiers, as text or as whole numbers, with the rows of the file as `rows_in_words` reads them.
        what: A description of the column for the message, for example "column 'patient' of 'table.csv'".

    Returns:
        Text (N,), without blanks at either end. Whole numbers have no decimal point, see `without_decimal_points`.

    Raises:
        ValueError: If a cell is blank or `NA`, has several lines, or holds a number that is not whole or may have lost digits,
            as a float or as a spreadsheet writes it.
    """
    if pd.api.types.is_float_dtype(column):
        column = _whole(column, what)
    text = _stripped(column)
    checks: tuple[tuple[Callable[[str], bool], str, str], ...] = (
        (lambda name: not name, f"an identifier in every row of {what}", "blank"),
        # blanks in their place would be refused, too
        (WORDS_FOR_MISSING.__contains__, f"an identifier in every row of {what}", "NA or the like"),
        # NumPy drops NUL at the end of text
        (_is_broken, f"identifiers of one line in {what}", "of several lines, or with NUL"),
        (
            _may_be_rounded,
            f"identifiers with all their digits in {what}",
            "rounded to 15 digits or so, as in floats and spreadsheets",
        ),
    )
    for is_wrong, expected, found in checks:
        _refuse(column, np.array([is_wrong(name) for name in text], dtype=np.bool_), expected, found)
    return np.array(without_decimal_points(text).tolist(), dtype=np.str_)


def _is_broken(name: str) -> bool:
    return len(name.splitlines()) > 1 or "\0" in name


def without_decimal_points(column: "pd.Series[str]") -> "pd.Series[str]":
    """Return a column of text without `.0` if all its cells are whole numbers; pandas adds it to integers beside a blank.

    Args:
        column: N cells, NaN where one is blank. If a number may have lost digits as a float, all remain as they are written.
    """
    stated = column.dropna()
    if not any(cell.endswith(".0") for cell in stated):
        return column
    if not all(_WHOLE.fullmatch(cell) and not _may_be_rounded(cell) for cell in stated):
        return column
    return column.str.removesuffix(".0").astype(object)


def _may_be_rounded(name: str) -> bool:
    """Return whether text is a number as floats or spreadsheets write it, and so large that these cannot hold all digits."""
    # hardly any of many thousand names gets past the next line
    if not name.endswith(".0"):
        return "+" in name and _SCIENTIFIC.fullmatch(name) is not None
    digits = name.removesuffix(".0").lstrip("+-0")
    most = str(_LARGEST_EXACT)
    return digits.isdecimal() and (len(digits), digits) >= (len(most), most)


def texts(column: "pd.Series[str]") -> npt.NDArray[np.str_]:
    """Return a column as text (N,), without blanks at either end; an empty string where a cell is blank."""
    return np.array(_stripped(column).tolist(), dtype=np.str_)


def refuse_blanks(column: "pd.Series[Any]", what: str) -> None:
    """Check that no cell of a column is blank.

    Raises:
        ValueError: If one is.
    """
    _refuse(column, texts(column) == "", f"a value in every row of {what}", "blank")


def refuse_words_for_missing(column: "pd.Series[str]", what: str) -> None:
    """Check that what is missing in a column of text is blank, since `NA` would be read like any other word.

    Raises:
        ValueError: If a cell holds nothing but `NA`, `NaN`, `None` or `NULL`.
    """
    wrong = np.isin(texts(column), WORDS_FOR_MISSING)
    if wrong.any():
        words = sorted(set(texts(column)[wrong].tolist()))
        raise ValueError(
            f"Expected blank cells where {what} has no value but {int(wrong.sum())} hold {words} "
            f'({rows_in_words(column, wrong)}). Write them as blanks, such as with `na = ""` in R.'
        )


def numbers(column: "pd.Series[str]", what: str, may_be_blank: bool = True) -> npt.NDArray[np.float64]:
    """Read a column of numbers.

    Args:
        column: Numbers or their spellings, with a decimal point; true and false, which are 1 and 0; or blanks.
        what: A description of the column for the message.
        may_be_blank: Whether a number may be unknown.

    Returns:
        Float64 (N,), NaN for a blank cell.

    Raises:
        ValueError: If a cell holds anything else, or a number beyond the range of float32.
    """
    if not may_be_blank:
        _refuse(column, texts(column) == "", f"a number in {what}", "blank")
    values = to_numbers(column)
    wrong = column.notna().to_numpy(dtype=np.bool_) & np.isnan(values)
    if wrong.any():
        cell = str(column[wrong].iloc[0])
        has_comma = not np.isnan(to_numbers(pd.Series([cell.replace(",", ".")]))[0])
        correction = "Leave what is unknown blank." if may_be_blank else "Correct the table."
        advice = "Write decimals with a point." if has_comma else correction
        raise ValueError(f"Expected numbers in {what} but got '{cell}' ({rows_in_words(column, wrong)}). {advice}")
    # tables hold float32, where a larger number would be infinite
    _refuse(column, np.abs(values) > np.finfo(np.float32).max, f"finite numbers in {what}", "infinite, or too large")
    return values


def to_numbers(column: "pd.Series[str]") -> npt.NDArray[np.float64]:
    """Return a column as float64 (N,): true and false are 1 and 0, and anything that is not a number is NaN."""
    if pd.api.types.is_numeric_dtype(column):
        return column.to_numpy(dtype=np.float64, na_value=np.nan)
    # through text, so that true as a value and as a word are one and the same
    spelled = _stripped(column).str.lower().replace(_TRUTH)
    return pd.to_numeric(spelled, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)


def coordinates(table: pd.DataFrame, names: Sequence[str], what: str) -> npt.NDArray[np.float64]:
    """Read columns of numbers that together make up a shape, such as the corners of boxes.

    Args:
        table: N rows, each with a shape. Where a table has others, drop the rows that are blank in all of the columns.
        names: M columns.
        what: A description of the table for the message.

    Returns:
        Float64 (N, M), all finite.

    Raises:
        ValueError: If a cell is blank, or holds anything but a number within the range of float32.
    """
    return np.stack([numbers(table[name], f"column '{name}' of {what}", may_be_blank=False) for name in names], axis=1)


def binary_column(
    column: "pd.Series[str]", what: str, allowed: Sequence[float] = (0.0, 1.0), may_be_blank: bool = True
) -> npt.NDArray[np.float32]:
    """Read a column of labels.

    Args:
        column: Numbers or their spellings, true or false, or blanks.
        what: A description of the column for the message.
        allowed: The numbers that may occur.
        may_be_blank: Whether a cell may leave the label open; where each states or denies it, a blank one is damaged.

    Returns:
        Float32 (N,): one of the allowed numbers, or NaN for a blank cell.

    Raises:
        ValueError: If a cell holds anything else.
    """
    if not may_be_blank:
        refuse_blanks(column, what)
    values = to_numbers(column)
    wrong = column.notna().to_numpy(dtype=np.bool_) & ~np.isin(values, np.asarray(allowed))
    if wrong.any():
        examples = sorted({str(value) for value in column[wrong].unique()})[:3]
        *others, last = [*(f"{value:g}" for value in allowed), *(["blank"] if may_be_blank else [])]
        number = int(wrong.sum())
        cells = "1 cell holds" if number == 1 else f"{number} cells hold"
        raise ValueError(
            f"Expected {what} to hold {', '.join(others)} or {last} but {cells} something else, for example {examples} "
            f"({rows_in_words(column, wrong)}). Map them to these values first."
        )
    return values.astype(np.float32)


def _stripped(column: "pd.Series[Any]") -> "pd.Series[str]":
    filled = column.astype(object).where(column.notna(), "")
    # as Python's strings: pandas' own take ten times as long to go through
    return pd.Series([str(cell).strip() for cell in filled], index=column.index, dtype=object)


def _whole(column: "pd.Series[str]", what: str) -> "pd.Series[str]":
    """Return floats as integers."""
    missing = column.isna().to_numpy(dtype=np.bool_)
    values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    # NaN cannot become an integer, so blanks are put back at the end
    known = np.where(missing, 0.0, values)
    _refuse(column, known != np.floor(known), f"text or whole numbers in {what}", "other numbers")
    _refuse(
        column, np.abs(known) >= _LARGEST_EXACT, f"identifiers of fewer than 16 digits in {what}, or text,", "longer"
    )
    return pd.Series(known.astype(np.int64), index=column.index).astype(object).where(~missing, None)


def _refuse(column: "pd.Series[str]", wrong: npt.NDArray[np.bool_], expected: str, found: str) -> None:
    if wrong.any():
        number = int(wrong.sum())
        cells = "1 cell is" if number == 1 else f"{number} cells are"
        raise ValueError(
            f"Expected {expected} but {cells} {found} ({rows_in_words(column, wrong)}). Correct the table, or leave these rows "
            "out."
        )
