"""Tables of data sets: what pandas would guess or only warn of is read as it is written, or refused."""

from pathlib import Path

import pytest

from data_modules.files.csv_file import read_csv


def test_rows_that_end_with_a_comma_shift_no_column(tmp_path: Path) -> None:
    """pandas takes the first column for an index, and the second for the first, without a word."""
    path = tmp_path / "t.csv"
    path.write_text("image_id,patient\na,p1,\nb,p2,\n")
    assert read_csv(path).to_dict("list") == {"image_id": ["a", "b"], "patient": ["p1", "p2"]}


@pytest.mark.parametrize("rows", ["a,p1,x\nb,p2,y\n", "a,p1\nb,p2,y\n", "a,p1,x\nb,p2\n"])
def test_a_cell_more_than_the_header_has_is_refused(tmp_path: Path, rows: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text(f"image_id,patient\n{rows}")
    with pytest.raises(ValueError, match=r"^Expected a table in '.*t\.csv' but it is empty or damaged"):
        read_csv(path)
