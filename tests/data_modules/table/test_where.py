"""`where` means the same for every file, and says in one line what is wrong with it."""

import re
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_modules.table.where import RowFilter

CELLS = {
    "id": ["001", "002", "003", "004"],
    "age": ["40", "41.5", np.nan, "9"],
    "flag": ["True", "False", "True", "False"],
    "view": ["PA", "AP", np.nan, "PA"],
    "my column": ["1", "2", "x", "3"],
    "date": ["2020-01-01", "2019-05-05", "2021-01-01", "2020-12-31"],
}
FRAME = pd.DataFrame(CELLS, index=pd.RangeIndex(2, 6, name="row"), dtype=object)


def kept(expression: str) -> list[int]:
    return RowFilter(expression)(FRAME, "t.csv").index.tolist()


@pytest.mark.parametrize(
    ("expression", "rows"),
    [
        ("age > 40", [3]),
        ("age != 40", [3, 4, 5]),
        ("9 <= age < 41", [2, 5]),
        ("age in [9, 40]", [2, 5]),
        ("age not in [9, 40]", [3, 4]),
        ("age > 9 & flag == 1", [2]),
        ("age > 41 | view == 'PA'", [2, 3, 5]),
        ("-age < -40", [3]),
        ("age + 1 > 41", [3]),
        ("age.between(9, 40)", [2, 5]),
        ("age == '41.5'", [3]),
        ("id == '001' or id == 4", [2, 5]),
        ("flag", [2, 4]),
        ("not flag and age < 20", [5]),
        ("flag == True", [2, 4]),
        ("flag == 'True'", [2, 4]),
        ("view in ['PA', 'AP']", [2, 3, 5]),
        ("view.str.startswith('P')", [2, 5]),
        ("view.isna()", [4]),
        ("`my column` == 'x'", [4]),
        ("date < '2020-06-01'", [2, 3]),
    ],
)
def test_numbers_are_compared_as_numbers_and_text_as_text(expression: str, rows: list[int]) -> None:
    assert kept(expression) == rows


@settings(max_examples=50)
@given(
    st.lists(st.one_of(st.none(), st.floats(-100, 100)), min_size=1, max_size=5),
    st.floats(-100, 100).map(lambda number: round(number, 1)),
    st.sampled_from(["<", "<=", ">", ">=", "==", "!="]),
)
def test_a_comparison_is_that_of_pandas_on_numbers(ages: list[float | None], limit: float, sign: str) -> None:
    cells = pd.DataFrame({"age": [np.nan if age is None else repr(age) for age in ages]}, dtype=object)
    compare: dict[str, Callable[[pd.Series], pd.Series]] = {
        "<": lambda column: column < limit,
        "<=": lambda column: column <= limit,
        ">": lambda column: column > limit,
        ">=": lambda column: column >= limit,
        "==": lambda column: column == limit,
        "!=": lambda column: column != limit,
    }
    expected = np.flatnonzero(compare[sign](pd.Series(ages, dtype=float)))
    if len(expected):
        assert RowFilter(f"age {sign} {limit}")(cells, "t.csv").index.tolist() == expected.tolist()
    else:
        with pytest.raises(ValueError, match=r"none of \d does"):
            RowFilter(f"age {sign} {limit}")(cells, "t.csv")


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("age = 40", "Expected a condition in data.where, such as age > 40 and view == 'PA', but got 'age = 40'. To compare,"),
        ("age >", "but got 'age >'. Put names"),
        ("my column == 1", "between backticks"),
        ("age > @limit", "Expected a condition in data.where"),
        ("age", "true or false for each row but 'age' is not"),
        ("view > 5", "numbers in column 'view' of 't.csv', which data.where compares with a number, but got 'PA' (rows 2, 3, 5)"),
        ("age > '5'", "numbers without quotes in data.where"),
        ("view == 'pa'", "none of 4 does: 'view' holds 'PA', 'AP'"),
        ("age.length > 5", "cannot be computed"),
    ],
)  # fmt: skip
def test_mistakes_are_one_line(expression: str, words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)) as caught:
        kept(expression)
    assert str(caught.value).startswith("Expected ")
    assert "\n" not in str(caught.value)


def test_columns_are_named_once_also_between_backticks() -> None:
    assert RowFilter("`my column` == 'x' and age > 1 and age < 3").columns == ("my column", "age")
