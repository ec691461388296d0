"""Tables that callbacks write into the run folder, atomically and by one process."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.trainer.states import TrainerFn

from mmpkd.numerics.processes import gather
from mmpkd.records import RunFolder
from mmpkd.records.checkpoint import SafeCheckpointIO, sha256_of
from mmpkd.records.tables import write_table


class Rows:
    """Rows of a table that is collected batch by batch. Tensors stay on their device until the table is gathered.

    Every batch must have the same columns.
    """

    def __init__(self) -> None:
        self._batches: list[Mapping[str, Any]] = []

    def add(self, columns: Mapping[str, torch.Tensor | Sequence[str]]) -> None:
        """Add a batch of rows: tensors (n,) or n strings by column name."""
        self._batches.append(columns)

    def gather(self, key: Sequence[str]) -> pd.DataFrame | None:
        """Return the rows of all processes in the first one and None in the others, and start again with an empty table.

        This is a collective: every process must call it, and only at the end of an epoch.

        Args:
            key: Columns that identify a row. Rows are sorted by them, and only one row per key is kept.
        """
        frames = [_to_frame(batch) for batch in self._batches]
        self._batches = []
        frame = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=list(key))
        gathered = gather(frame)
        if gathered is None:
            return None
        parts = [part for part in gathered if len(part)]
        if not parts:
            return frame
        # a padding sampler gives some samples to two processes
        unique: pd.DataFrame = pd.concat(parts, ignore_index=True).drop_duplicates(list(key))
        return unique.sort_values(list(key), kind="stable", ignore_index=True)


def run_folder(trainer: Trainer) -> RunFolder:
    """Return the folder of a trainer's run."""
    return RunFolder(Path(trainer.default_root_dir))


def save_table(trainer: Trainer, frame: pd.DataFrame, path: Path) -> None:
    """Write a table with the hash of the tested checkpoint; only the first process has one to write."""
    write_table(frame, path, tested_checkpoint(trainer))


def tested_checkpoint(trainer: Trainer) -> str | None:
    """Return the SHA-256 of the checkpoint that is evaluated, or None during a fit or without a checkpoint."""
    path = trainer.ckpt_path
    reader = trainer.strategy.checkpoint_io
    if trainer.state.fn == TrainerFn.FITTING or path is None:
        return None
    # our own reader hashes the file when it reads it
    return reader.sha256 if isinstance(reader, SafeCheckpointIO) else sha256_of(Path(path))


def label_names(trainer: Trainer) -> tuple[str, ...]:
    """Return the names of the labels, from the data module or else from the module.

    Raises:
        TypeError: If neither has them.
    """
    for place in ("datamodule", "lightning_module"):
        names = getattr(getattr(trainer, place, None), "label_names", None)
        if names is not None:
            return tuple(names)
    raise TypeError("Expected a data module with `label_names`: run the trainer with `datamodule=`.")


def is_due(trainer: Trainer, every_n_epochs: int = 1) -> bool:
    """Return whether callbacks act on an evaluation: never in the sanity check, and in a fit only every n-th epoch."""
    if trainer.sanity_checking:
        return False
    return trainer.state.fn != TrainerFn.FITTING or (trainer.current_epoch + 1) % every_n_epochs == 0


def _to_frame(columns: Mapping[str, torch.Tensor | Sequence[str]]) -> pd.DataFrame:
    return pd.DataFrame({name: _to_array(value) for name, value in columns.items()})


def _to_array(value: torch.Tensor | Sequence[str]) -> np.ndarray[Any, np.dtype[Any]]:
    if not isinstance(value, torch.Tensor):
        return np.asarray(value, dtype=object)
    value = value.detach().cpu()
    # NumPy has no bfloat16, and Parquet no float16
    return (value.float() if value.is_floating_point() else value).numpy()
