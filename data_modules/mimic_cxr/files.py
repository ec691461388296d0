"""Find and read the tables of MIMIC-CXR-JPG, whatever release and compression."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from data_modules.csv_file import read_csv


def find_table(root: Path, pattern: str) -> Path:
    """Return the newest file below a folder that matches a pattern, with or without `.gz`.

    Files of release 2.1.0 keep the 2.0.0 prefix, and a file of MS-CXR 0.1 is named 1.0.0: versions are not trusted.

    Raises:
        FileNotFoundError: If there is none.
    """
    found = find_tables(root, pattern)
    if not found:
        raise FileNotFoundError(
            f"Expected a file '{pattern}' (or .gz) in '{root}' but there is none. "
            "Set data.root, or data.tables_root, to the folder that holds the tables of the release."
        )
    return found[-1]


def find_tables(root: Path, pattern: str) -> list[Path]:
    """Return all files of a folder and its direct subfolders that match a pattern, with or without `.gz`, by name."""
    suffixes, folders = ("", ".gz"), ("", "*/")
    candidates = {path for suffix in suffixes for folder in folders for path in root.glob(folder + pattern + suffix)}
    return sorted(candidates, key=lambda path: path.name)


def read_table(path: Path, columns: Sequence[str], separator: str = ",") -> pd.DataFrame:
    """Read columns of a text table by name.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a column is missing.
    """
    if not path.is_file():
        raise FileNotFoundError(f"Expected a table at '{path}' but there is no such file.")
    types = {"dicom_id": "str", "subject_id": "int64", "study_id": "int64"}
    frame = read_csv(path, sep=separator, dtype=types, low_memory=False)
    missing = [name for name in columns if name not in frame.columns]
    if missing:
        raise ValueError(f"Expected columns {list(columns)} in '{path}' but {missing} are missing.")
    return frame
