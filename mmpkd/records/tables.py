"""Tables of a run. Each contains the hash of the checkpoint that it was computed with."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from data_modules.files.atomic import replacing

_CHECKPOINT = b"mmpkd.checkpoint"


@dataclass(frozen=True)
class RunTable:
    """A table and the checkpoint that it was computed with.

    Attributes:
        frame: The table.
        checkpoint: SHA-256 of the checkpoint, or None if the weights did not come from one, as during training.
    """

    frame: pd.DataFrame
    checkpoint: str | None


def write_table(frame: pd.DataFrame, path: Path, checkpoint: str | None = None) -> None:
    """Write a table atomically.

    Args:
        frame: The table. Its index is dropped.
        path: Parquet file.
        checkpoint: SHA-256 of the checkpoint that it was computed with, or None.
    """
    table = pa.Table.from_pandas(frame, preserve_index=False)
    if checkpoint is not None:
        # beside pandas' own metadata, by which it restores the types of columns
        table = table.replace_schema_metadata({**(table.schema.metadata or {}), _CHECKPOINT: checkpoint.encode()})
    with replacing(path) as temporary:
        pq.write_table(table, temporary)


def read_table(path: Path) -> RunTable:
    """Read a table.

    Raises:
        FileNotFoundError: If it does not exist.
        ValueError: If it is damaged.
    """
    if not path.is_file():
        raise FileNotFoundError(f"Expected a table at '{path}' but there is none.")
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise ValueError(
            f"Expected a table in '{path}' but it is damaged: {error}. Delete it and test the run again."
        ) from error
    checkpoint = (table.schema.metadata or {}).get(_CHECKPOINT)
    return RunTable(table.to_pandas(), None if checkpoint is None else checkpoint.decode())
