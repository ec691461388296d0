"""CSV files, read strictly."""

import csv
import gzip
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import pandas as pd

_DAMAGED = (
    pd.errors.EmptyDataError,
    pd.errors.ParserError,
    pd.errors.ParserWarning,
    EOFError,
    zlib.error,
    gzip.BadGzipFile,
    zipfile.BadZipFile,
)
# first bytes of files that people give in place of a CSV file
_OTHER_KINDS = {
    b"PK\x03\x04": "an Excel workbook or another archive. Save it as CSV UTF-8",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook. Save it as CSV UTF-8",
    b"PAR1": "a Parquet file. Give it a name that ends in .parquet",
    b"\xff\xfe": "text in UTF-16. Save it as CSV UTF-8",
    b"\xfe\xff": "text in UTF-16. Save it as CSV UTF-8",
    b"BZh": "compressed by bzip2. Unpack it, or compress it by gzip",
    b"\xfd7zXZ": "compressed by xz. Unpack it, or compress it by gzip",
    b"\x28\xb5\x2f\xfd": "compressed by zstd. Unpack it, or compress it by gzip",
}
_GZIP = b"\x1f\x8b"
_NUM_SNIFFED = 1000
# of a cell; by default, Python refuses cells that are longer than 131,072 characters
_LONGEST_CELL = 2**31 - 1


def read_csv(path: Path, **options: Any) -> pd.DataFrame:
    """Read a table of text, compressed or not.

    Args:
        path: The file.
        options: Of `pandas.read_csv`.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it is empty, damaged, no table, not in UTF-8, or does not fit the options.
    """
    # pandas reads an archive that holds a single table
    if path.suffix != ".zip":
        _check_kind(path)
    try:
        with warnings.catch_warnings():
            # pandas only warns where a row has more cells than the header
            warnings.simplefilter("error", pd.errors.ParserWarning)
            # otherwise it takes the first column for an index if rows end with a comma, and shifts all others
            frame: pd.DataFrame = pd.read_csv(path, **{"index_col": False, **options})
    except UnicodeDecodeError as error:
        raise _not_utf8(path, error) from error
    except _DAMAGED as error:
        raise _damaged(path, error) from error
    except ValueError as error:
        raise ValueError(
            f"Expected the columns of the original file in '{path}' but got: {error}. Restore the file."
        ) from error
    return frame


def read_cells(path: Path) -> pd.DataFrame:
    """Read a table exactly as it is written: nothing is converted to a number, and only an empty cell is missing.

    Args:
        path: Text in UTF-8, separated by commas; may be compressed by gzip.

    Returns:
        Text without blanks at either end, or NaN; rows without any text are left out. The index, `row`, has the rows of the
        file, of which the header is the first. Names of columns are those of the header, also where two are equal.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it is empty, damaged, no table, not in UTF-8, not separated by commas, or a row has more or fewer cells
            than the header.
    """
    is_gzip = _check_kind(path).startswith(_GZIP)
    limit = csv.field_size_limit(_LONGEST_CELL)
    try:
        with _open(path, is_gzip) as file:
            return _cells(path, csv.reader(file, strict=True))
    except UnicodeDecodeError as error:
        raise _not_utf8(path, error) from error
    except csv.Error as error:
        raise ValueError(
            f"Expected every quote in '{path}' to be closed at the end of its cell but got: {error}. Correct the table."
        ) from error
    except _DAMAGED as error:
        raise _damaged(path, error) from error
    finally:
        csv.field_size_limit(limit)


def _open(path: Path, is_gzip: bool) -> TextIO:
    # Excel begins UTF-8 with a byte order mark, which would become part of the first name
    if is_gzip:
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def _cells(path: Path, lines: Iterator[list[str]]) -> pd.DataFrame:
    header = [name.strip() for name in next(lines, [])]
    _check_separator(path, header)
    rows: list[int] = []
    kept: list[list[str | float]] = []
    for row, line in enumerate(lines, start=2):
        if not any(map(str.strip, line)):  # spreadsheet programs write rows of nothing but commas below a table
            continue
        if len(line) != len(header):
            advice = (
                "The header is the first row; cells with commas or line breaks need quotes."
                if len(line) > len(header)
                else "If the last cells are blank there, put a column that is never blank last."
            )
            raise ValueError(
                f"Expected {len(header)} cells in every row of '{path}', as in its header, but row {row} has {len(line)}. "
                f"{advice}"
            )
        rows.append(row)
        kept.append([cell.strip() or np.nan for cell in line])
    # by number, since a name may occur twice in the header
    numbers = range(len(header))
    frame = pd.DataFrame(kept, index=pd.Index(rows, name="row", dtype=np.int64), columns=numbers, dtype=object)
    frame.columns = pd.Index(header)
    return frame


def _check_separator(path: Path, header: Sequence[str]) -> None:
    if not any(header):
        raise _damaged(path, "it has no header")
    separators = {";": "semicolons", "\t": "tabs", "|": "vertical bars"}
    found = [name for sign, name in separators.items() if sign in header[0]]
    if len(header) == 1 and found:
        raise ValueError(
            f"Expected columns separated by commas in '{path}' but got {found[0]}. Save it with commas, and with points in "
            "decimals."
        )


def _check_kind(path: Path) -> bytes:
    """Return the first bytes of a file, after refusing files of other kinds by them."""
    with path.open("rb") as file:
        start = file.read(_NUM_SNIFFED)
    kind = next((name for begin, name in _OTHER_KINDS.items() if start.startswith(begin)), None)
    # gzip may hold any byte
    if kind is None and b"\0" in start and not start.startswith(_GZIP):
        kind = "text in UTF-16, or no text at all. Save it as CSV UTF-8"
    if kind is not None:
        raise ValueError(f"Expected a table of text in '{path}' but it is {kind}.")
    return start


def _not_utf8(path: Path, error: UnicodeDecodeError) -> ValueError:
    found = error.object[error.start : error.end].hex()
    return ValueError(
        f"Expected text in UTF-8 in '{path}' but got the byte {found}, as in Latin-1 or Windows-1252. Save it as CSV UTF-8."
    )


def _damaged(path: Path, reason: object) -> ValueError:
    return ValueError(f"Expected a table in '{path}' but it is empty or damaged: {reason}. Restore it.")
