"""Find and read the tables of MIMIC-CXR-JPG, of any release and compression."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import pandas as pd

from data_modules.files.csv_file import read_csv
from data_modules.files.folders import find_file


def find_table(root: Path, pattern: str) -> Path:
    """Return the nearest file that matches a pattern, with or without `.gz`; the newest by name if several are equally near.

    Files of release 2.1.0 keep the prefix 2.0.0, so their names do not tell the release.

    Raises:
        FileNotFoundError: If there is none.
    """
    hint = "Set data.root, or data.tables_root, to the folder that holds the tables of the release."
    return find_file(root, pattern, f"{pattern}.gz", hint=hint)


def read_table(
    path: Path, columns: Sequence[str], separator: str = ",", renamed: Mapping[str, str] = MappingProxyType({})
) -> pd.DataFrame:
    """Read columns of a text table by name.

    Args:
        path: The file.
        columns: Required columns.
        separator: Separator of cells.
        renamed: Our names of columns by their names in this file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a column is missing.
    """
    if not path.is_file():
        raise FileNotFoundError(f"Expected a table at '{path}' but there is no such file.")
    types = {"dicom_id": "str", "subject_id": "int64", "study_id": "int64"}
    frame = read_csv(path, sep=separator, dtype=types, low_memory=False).rename(columns=renamed)
    missing = [name for name in columns if name not in frame.columns]
    if missing:
        raise ValueError(f"Expected columns {list(columns)} in '{path}' but {missing} are missing.")
    return frame
