"""A CSV file and a Parquet file of one table hold the same cells, and files that are no table are named in one line."""

import gzip
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data_modules.table.files import read_table, without_decimal_points

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
    for name, content in (("t.csv", text.encode()), ("t.csv.gz", gzip.compress(text.encode()))):
        frame = table(tmp_path / name, content)
        assert frame.to_dict("index") == {2: {"file": "a, b.png", "id": "001"}, 5: {"file": "N/A", "id": "002"}}


def test_integers_that_became_floats_are_integers_again(tmp_path: Path) -> None:
    cells = table(tmp_path / "t.csv", "id,file\n12.0,1.0\n,1.5\n7,2.0\n")
    assert cells["id"].tolist()[::2] == ["12.0", "7"]
    frame = cells.apply(without_decimal_points)
    assert frame["id"].tolist()[::2] == ["12", "7"]
    assert frame["file"].tolist() == ["1.0", "1.5", "2.0"]


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
        ("t.csv", "id,file\na,b\nc\n", "Expected 2 cells in every row of '.*t.csv', .* but row 3 has 1"),
        ("t.csv", "id,file\na,b\nc,d,e\n", "but row 3 has 3"),
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
