"""Tables of text on disk."""

import zipfile
import zlib
from pathlib import Path
from typing import Any

import pandas as pd


def read_csv(path: Path, **options: Any) -> pd.DataFrame:
    """Read a table of text, compressed or not.

    Args:
        path: The file.
        options: Of `pandas.read_csv`.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it is empty, damaged, or not in UTF-8.
    """
    try:
        frame: pd.DataFrame = pd.read_csv(path, **options)
    except UnicodeDecodeError as error:
        raise ValueError(f"Expected text in UTF-8 in '{path}' but got {error}. Convert the file.") from error
    except (pd.errors.EmptyDataError, pd.errors.ParserError, EOFError, zlib.error, zipfile.BadZipFile) as error:
        raise ValueError(f"Expected a table in '{path}' but it is empty or damaged: {error}. Restore it.") from error
    return frame
