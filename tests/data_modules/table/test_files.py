"""A CSV file and a Parquet file of one table hold the same cells, and files that are no table are named in one line."""

import bz2
import csv
import gzip
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data_modules.columns import without_decimal_points
from data_modules.table.files import read_table

TEXT = st.text(st.characters(blacklist_categories=("Cs", "Cc")), max_size=4)
CELLS = {
    "text": st.one_of(st.none(), TEXT),
    "digits": st.from_regex(r"[0-9]{1,4}", fullmatch=True),
    "integer": st.integers(-(2**62), 2**62),
    "float": st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False)),
    "whole": st.one_of(st.none(), st.integers(-(2**53), 2**53).map(float)),
    "truth": st.one_of(st.none(), st.booleans()),
    "day": st.one_of(st.none(), st.dates().map(str)),
}
TYPES = {"integer": "int64", "float": "float64", "whole": "float64", "truth": "object", "day": "category"}


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.fixed_dictionaries(CELLS), min_size=1, max_size=4))
def test_csv_and_parquet_hold_the_same_cells(tmp_path: Path, rows: list[dict[str, object]]) -> None:
    frame = pd.DataFrame(rows, columns=list(CELLS)).astype(TYPES)
    # a row of blanks is no row of a CSV file
    frame["row"] = range(len(frame))
    frame.to_csv(tmp_path / "t.csv", index=False)
    frame.to_parquet(tmp_path / "t.parquet")
    used = {"where": list(frame.columns)}
    csv, parquet = read_table(tmp_path / "t.csv", used), read_table(tmp_path / "t.parquet", used)
    pd.testing.assert_frame_equal(csv.reset_index(drop=True), parquet.reset_index(drop=True))
    assert csv.index.tolist() == list(range(2, 2 + len(rows)))
    assert parquet.index.tolist() == list(range(1, 1 + len(rows)))
    for name in ("integer", "float", "whole"):
        expected = [math.nan if value is None else value for value in (row[name] for row in rows)]
        np.testing.assert_array_equal(parquet[name].astype(float), np.array(expected, float))


def table(path: Path, content: bytes | str) -> pd.DataFrame:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_table(path, {"image_column": ["file"], "sample_column": ["id"]})


def test_cells_are_text_as_written_and_rows_are_those_of_the_file(tmp_path: Path) -> None:
    text = '\ufeffid, file ,note\n001,"a, b.png",x\n\n,,\n002 ,N/A,"two\nlines"\n'
    packed = gzip.compress(text.encode())
    # the content says whether a file is compressed
    for name, content in (("t.csv", text.encode()), ("t.csv.gz", packed), ("packed.csv", packed)):
        frame = table(tmp_path / name, content)
        assert frame.to_dict("index") == {2: {"file": "a, b.png", "id": "001"}, 5: {"file": "N/A", "id": "002"}}


def test_integers_that_became_floats_are_integers_again(tmp_path: Path) -> None:
    cells = table(tmp_path / "t.csv", "id,file\n12.0,1.0\n,1.5\n7,2.0\n")
    assert cells["id"].tolist()[::2] == ["12.0", "7"]
    frame = cells.apply(without_decimal_points)
    assert frame["id"].tolist()[::2] == ["12", "7"]
    assert frame["file"].tolist() == ["1.0", "1.5", "2.0"]


def test_a_cell_may_be_longer_than_python_allows_by_default(tmp_path: Path) -> None:
    limit = csv.field_size_limit()
    report = "no change " * 20_000
    assert table(tmp_path / "t.csv", f"id,file\na,{report}\n").loc[2, "file"] == report.strip()
    assert csv.field_size_limit() == limit


def test_names_are_stripped_and_rows_that_are_blank_in_all_columns_are_left_out_in_both_formats(tmp_path: Path) -> None:
    """As spreadsheets leave them below a table. A row with anything in it is kept, whether or not its column is used."""
    columns = {
        " id ": ["a", None, " ", None],
        "file": pd.Categorical(["x", None, None, None]),
        "day": pd.Series(["2020-01-01", None, None, None], dtype="datetime64[s]"),
        "note": [None, "", None, "hello"],
        "size": [1.5, np.nan, np.nan, np.nan],
        "tags": [["t"], None, None, None],
    }
    frame = pd.DataFrame(columns)
    frame.to_csv(tmp_path / "t.csv", index=False)
    frame.to_parquet(tmp_path / "t.parquet")
    for name, first in (("t.csv", 2), ("t.parquet", 1)):
        found = read_table(tmp_path / name, {"where": ["id", "file"]})
        assert found.index.tolist() == [first, first + 3]
        assert found.iloc[0].tolist() == ["a", "x"]
        assert found.iloc[1].isna().to_numpy().all()


def test_numbers_that_may_have_lost_digits_are_kept_as_written() -> None:
    cells = pd.Series(["12.0", "9100000000000002.0", np.nan], dtype=object)
    assert without_decimal_points(cells).tolist()[:2] == ["12.0", "9100000000000002.0"]
    assert without_decimal_points(cells[:1]).tolist() == ["12"]


EXCEL = b"PK\x03\x04" + bytes(range(256))


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("t.csv", "id;file\n1;2\n", "separated by commas in '.*t.csv' but got semicolons"),
        ("t.csv", "id\tfile\n1\t2\n", "separated by commas in '.*t.csv' but got tabs"),
        ("t.csv", "id,file\nä,ö".encode("latin-1"), "UTF-8 in '.*t.csv' but got the byte e4, as in Latin-1"),
        ("t.csv", "id,file\na,b\n".encode("utf-16"), "but it is text in UTF-16. Save it as CSV UTF-8"),
        ("t.csv", "id,file\na,b\n".encode("utf-16-le"), "but it is text in UTF-16"),
        ("t.csv", EXCEL, "but it is an Excel workbook"),
        ("t.xlsx", EXCEL, "but it is an Excel workbook"),
        ("t.csv", b"\xd0\xcf\x11\xe0" + EXCEL, "but it is an old Excel workbook"),
        ("t.parquet", b"id,file\na,b\n", "Expected a Parquet file in '.*t.parquet' but it is another file"),
        ("t.parquet", b"PAR1" + bytes(50), "Expected a Parquet file in '.*t.parquet' but it is another file"),
        (
            "t.csv",
            "id,file\na,b\nc\n",
            "Expected 2 cells in every row .* but row 3 has 1. If the last cells are blank there",
        ),
        ("t.csv", "id,file\na,b\nc,d,e\n", "but row 3 has 3"),
        (
            "t.csv",
            "sep=,\nid,file,x\n",
            "row 2 has 3. The header is the first row; cells with commas or line breaks need",
        ),
        ("t.csv", "id|file\na|b\n", "separated by commas in '.*t.csv' but got vertical bars"),
        ("t.csv", 'id,file\na,"b\nc,d\n', "every quote in '.*t.csv' to be closed at the end of its cell"),
        ("t.zip", EXCEL, "but it is an Excel workbook or another archive"),
        (
            "t.csv.bz2",
            bz2.compress(b"id,file\na,b\n"),
            "but it is compressed by bzip2. Unpack it, or compress it by gzip",
        ),
        ("t.csv.gz", gzip.compress(b"id,file\na,b\n", mtime=0)[:-9], "'.*t.csv.gz' but it is empty or damaged"),
        ("t.csv", "id,file\n", "Expected rows of samples in '.*t.csv' but there are none"),
        ("t.csv", "id,file,id\na,b,c\n", r"one column of each name in 't.csv' but \['id'\] occur twice"),
        ("t.csv", "id,fil\na,b\n", "columns of 't.csv' in data.image_column but got .*Did you mean 'fil'"),
        ("t.csv", "\n\n", "but it is empty or damaged"),
    ],
)
def test_what_is_no_table_is_named_in_one_line(tmp_path: Path, name: str, content: bytes | str, words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        table(tmp_path / name, content)
    assert "\n" not in str(caught.value)


def test_parquet_is_told_by_its_content_and_its_index_is_a_column(tmp_path: Path) -> None:
    pd.DataFrame({"id": [5, 2, 9], "file": ["a", "b", "c"]}).set_index("id").to_parquet(tmp_path / "table.dat")
    assert read_table(tmp_path / "table.dat", {"where": ["id", "file"]})["id"].tolist() == ["5", "2", "9"]
    pd.DataFrame({"id": [[1], [2]]}).to_parquet(tmp_path / "lists.parquet")
    with pytest.raises(ValueError, match=r"text or numbers in column 'id' of 'lists\.parquet' but got list"):
        read_table(tmp_path / "lists.parquet", {"where": ["id"]})


def test_a_damaged_page_of_parquet_is_named(tmp_path: Path) -> None:
    """Its header and footer are sound."""
    pd.DataFrame({"id": [f"sample {number}" for number in range(1000)]}).to_parquet(tmp_path / "t.parquet")
    content = bytearray((tmp_path / "t.parquet").read_bytes())
    content[200:300] = bytes(100)
    (tmp_path / "t.parquet").write_bytes(content)
    with pytest.raises(ValueError, match=r"Expected a Parquet file in '.*' but it is another file, or damaged"):
        read_table(tmp_path / "t.parquet", {"where": ["id"]})
