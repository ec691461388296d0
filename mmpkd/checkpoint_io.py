"""Checkpoints that are either the old one or the new one, whatever happens while they are written."""

import os
import tempfile
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import TorchCheckpointIO


class SafeCheckpointIO(TorchCheckpointIO):
    """Writes to a temporary file in the same folder, forces it to disk, and renames it.

    Lightning stages in the system's temporary folder; on another device, the final move is a copy, and a kill during it
    leaves a torn checkpoint. Loading accepts tensors and primitives only.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: object | None = None
    ) -> None:
        """Write a checkpoint, all or nothing.

        Raises:
            OSError: If it cannot be written, for example because the disk is full; the old file is kept.
        """
        del storage_options
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=".tmp-", suffix=".ckpt", dir=target.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).replace(target)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def load_checkpoint(
        self, path: str | Path, map_location: Any = "cpu", weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read a checkpoint of tensors and primitives.

        Raises:
            FileNotFoundError: If there is none.
            ValueError: If the caller asks for arbitrary objects.
        """
        if weights_only is False:
            raise ValueError("Expected weights_only to be true or unset: checkpoints hold tensors and primitives only.")
        if not Path(path).is_file():
            raise FileNotFoundError(f"Expected a checkpoint at '{path}' but there is none.")
        checkpoint: dict[str, Any] = torch.load(path, map_location=map_location, weights_only=True)
        return checkpoint


def remove_temporary_checkpoints(folder: Path) -> None:
    """Delete what a killed run left half-written."""
    for temporary in folder.glob(".tmp-*.ckpt"):
        temporary.unlink(missing_ok=True)  # another task of the run may be faster
