"""Read a CSV or Parquet file as cells of text, so that both give the same data."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from data_modules.columns import check_names
from data_modules.files.csv_file import read_cells


def read_table(path: Path, used: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    """Read the columns of a table that are used.

    Args:
        path: CSV or Parquet; Parquet is recognised by its content.
        used: Columns by the setting that names them.

    Returns:
        One column of text for each name, NaN where a cell is blank. Text is stripped of blanks. Rows that are blank in all
        columns are left out. The index, `row`, holds the rows of the file: row 1 is the header of a CSV file, or the first
        row of a Parquet file.

    Raises:
        FileNotFoundError: If there is no table.
        ValueError: If it cannot be read or has no rows, or a column is unknown or occurs twice.
    """
    if not path.is_file():
        raise FileNotFoundError(f"Expected a table at '{path}' but there is none. Set data.path.")
    # also by its name, so that a damaged file is not read as CSV
    is_parquet = path.suffix == ".parquet" or _is_parquet(path)
    frame = _read_parquet(path, used) if is_parquet else _named(path, read_cells(path), used)
    if frame.empty:
        raise ValueError(f"Expected rows of samples in '{path}' but there are none.")
    return frame


def _named(path: Path, frame: pd.DataFrame, used: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    return frame[_check_columns(path, [str(name) for name in frame.columns], used)]


def _check_columns(path: Path, header: Sequence[str], used: Mapping[str, Sequence[str]]) -> list[str]:
    """Check and return the columns that are used, each once."""
    for setting, names in used.items():
        check_names(names, header, f"columns of '{path.name}' in data.{setting}")
    columns = list(dict.fromkeys(name for names in used.values() for name in names))
    repeated = [name for name in columns if header.count(name) > 1]
    if repeated:
        raise ValueError(
            f"Expected one column of each name in '{path.name}' but {repeated} occur twice or more. Rename or delete them."
        )
    return columns


def _is_parquet(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"PAR1"


def _read_parquet(path: Path, used: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    try:
        file = pq.ParquetFile(path)
        # stripped, as the header of a CSV file is
        header = [name.strip() for name in file.schema_arrow.names]
        columns = _check_columns(path, header, used)
        own = {name: file.schema_arrow.names[header.index(name)] for name in columns}
        table = file.read(list(own.values()))
        cells = {name: _as_text(table[own[name]], name, path) for name in columns}
        frame = pd.DataFrame(cells, index=pd.RangeIndex(1, len(table) + 1, name="row"), dtype=object)
        return frame[~_is_blank(frame, file)]
    except pa.ArrowException as error:
        raise _no_parquet(path, error) from error
    except OSError as error:
        # Arrow raises it for damaged pages as well, without the number that an error of the file system has
        if error.errno is not None:
            raise
        raise _no_parquet(path, error) from error


def _is_blank(frame: pd.DataFrame, file: pq.ParquetFile) -> NDArray[np.bool_]:
    """Return which rows are blank in all columns of the file, also in those that are not used."""
    blank = frame.isna().all(axis=1).to_numpy(dtype=np.bool_)
    # the other columns may be large, and are hardly ever needed
    if blank.any():
        for column in file.read().columns:
            cells = column.to_pandas() if _is_no_text(column.type) else pd.Series(_texts(column), dtype=object)
            blank = blank & cells.isna().to_numpy(dtype=np.bool_)
    return blank


def _no_parquet(path: Path, error: Exception) -> ValueError:
    return ValueError(f"Expected a Parquet file in '{path}' but it is another file, or damaged: {error}. Restore it.")


def _as_text(column: pa.ChunkedArray, name: str, path: Path) -> list[str | float]:
    if _is_no_text(column.type):
        raise ValueError(
            f"Expected text or numbers in column '{name}' of '{path.name}' but got {column.type}. Convert it."
        )
    return _texts(column)


def _is_no_text(kind: pa.DataType) -> bool:
    tests = (
        pa.types.is_nested,
        pa.types.is_binary,
        pa.types.is_large_binary,
        pa.types.is_binary_view,
        pa.types.is_fixed_size_binary,
    )
    return any(test(kind) for test in tests)


def _texts(column: pa.ChunkedArray) -> list[str | float]:
    """Return the cells as `read_cells` would read them from a CSV file that pandas wrote."""
    # otherwise integers beside a blank become floats
    values = column.to_pandas(integer_object_nulls=True)
    text = values.astype(str).where(values.notna(), "").astype(object)
    return [cell.strip() or np.nan for cell in text]
