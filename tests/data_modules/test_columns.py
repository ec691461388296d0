"""Columns of identifiers, numbers and labels: what is read, what is refused, and which row is named."""

import re

import numpy as np
import pandas as pd
import pytest

from data_modules.columns import binary_column, identifiers, numbers, rows_in_words, texts


def column(*cells: object, rows: bool = False) -> "pd.Series[str]":
    """Return cells as pandas reads them, or with the rows of their file as index."""
    return pd.Series(list(cells), index=pd.RangeIndex(2, 2 + len(cells), name="row") if rows else None)


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (("alpha", "b", " c "), ["alpha", "b", "c"]),
        (("007", "7"), ["007", "7"]),
        ((7, 12), ["7", "12"]),
        ((7.0, 2.0**40), ["7", "1099511627776"]),
        (("12.0", "x"), ["12.0", "x"]),
        # as pandas writes a column of numbers with a blank, which a join or a row of sums has put there
        (("22678622.0", "7"), ["22678622", "7"]),
        # accession numbers of 16 digits that floats hold exactly
        (("9007199254740991.0", "1234567890123456.0"), ["9007199254740991", "1234567890123456"]),
        (("1234567890123456789", "1e10"), ["1234567890123456789", "1e10"]),
    ],
)
def test_identifiers_are_text_whatever_pandas_made_of_them(cells: tuple[object, ...], expected: list[str]) -> None:
    found = identifiers(column(*cells), "column 'id'")
    assert found.dtype.kind == "U"
    assert found.tolist() == expected
    assert identifiers(column(*cells).astype(object), "column 'id'").tolist() == expected


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        (("p1", None, "p2", " "), "2 cells are blank (rows 3, 5)"),
        ((1, None), "1 cell is blank (row 3)"),
        (("p\nq", "r"), "1 cell is of several lines, or with NUL (row 2)"),
        ((1.5, 2.0), "1 cell is other numbers (row 2)"),
        ((2.0**53, 2.0), "1 cell is longer (row 2)"),
        (("2.02301E+16", "p"), "1 cell is rounded to 15 digits or so, as in floats and spreadsheets (row 2)"),
        (
            ("p", "2.0230101123456788e+16"),
            "1 cell is rounded to 15 digits or so, as in floats and spreadsheets (row 3)",
        ),
        (("1e+16", "1E+05", "1e5"), "2 cells are rounded to 15 digits or so"),
        (("p", "9100000000000002.0"), "1 cell is rounded to 15 digits or so, as in floats and spreadsheets (row 3)"),
        (("1.0", "9007199254740992.0", "123456789012345678.0"), "2 cells are rounded to 15 digits or so"),
        (("p\0", "p"), "1 cell is of several lines, or with NUL (row 2)"),
    ],
)
def test_identifiers_that_cannot_be_told_apart_are_refused_with_their_rows(
    cells: tuple[object, ...], words: str
) -> None:
    for rows in (True, False):
        with pytest.raises(ValueError, match=re.escape(words)):
            identifiers(column(*cells, rows=rows), "column 'id' of 't.csv'")


def test_rows_are_those_of_the_index_and_five_are_named() -> None:
    studies = pd.Series(range(9), index=pd.RangeIndex(10, 19, name="study_id"))
    assert rows_in_words(studies, np.arange(9) == 3) == "study_id 13"
    assert rows_in_words(studies, np.arange(9) > 1) == "study_ids 12, 13, 14, 15, 16 and 2 more"


def test_texts_of_blank_cells_are_empty() -> None:
    assert texts(column("PA", None, " AP")).tolist() == ["PA", "", "AP"]
    assert texts(column(None, None)).tolist() == ["", ""]


def test_numbers_are_read_in_every_spelling_and_blanks_are_nan() -> None:
    found = numbers(column("1.5", None, "-2e3", "TRUE", "false", " 7 "), "column 'x'")
    np.testing.assert_array_equal(found, [1.5, np.nan, -2000, 1, 0, 7])
    np.testing.assert_array_equal(numbers(column(True, False), "x"), [1, 0])
    np.testing.assert_array_equal(numbers(column(1, None), "x"), [1, np.nan])


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("3,5", "got '3,5' (row 3). Write decimals with a point"),
        ("about 40", "got 'about 40' (row 3). Leave what is unknown blank"),
        ("N/A", "got 'N/A' (row 3)"),
        ("nan", "got 'nan' (row 3)"),
        ("inf", "finite numbers in column 'age' but 1 cell is infinite, or too large (row 3)"),
        ("1e39", "1 cell is infinite, or too large (row 3)"),
    ],
)
def test_what_is_no_number_is_named_with_its_row(cell: str, words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        numbers(column("1", cell, "2"), "column 'age'")


@pytest.mark.parametrize("cells", [("True", "false", None), (True, False, None), ("1", "0.0", None), (1, 0, None)])
def test_labels_are_zero_one_true_false_or_blank(cells: tuple[object, ...]) -> None:
    np.testing.assert_array_equal(binary_column(column(*cells), "label"), [1, 0, np.nan])


def test_other_labels_are_named_with_their_row() -> None:
    with pytest.raises(ValueError, match=r"hold 0, 1 or blank but 2 cells .* \['2', 'N/A'\] \(rows 3, 4\)"):
        binary_column(column("1", "N/A", "2"), "label")
