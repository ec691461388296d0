"""Checkpoints: written at once, read with care, known by their hash."""

import hashlib
import logging
import os
import pickle
import secrets
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import TorchCheckpointIO
from torch import Tensor

from data_modules.files.atomic import replacing
from mmpkd.records.exported import WEIGHTS, read_exported
from mmpkd.records.run_folder import LAST, PREVIOUS, RunFolder

logger = logging.getLogger("mmpkd")


class SafeCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint at once, keeps the last but one, and reads tensors and primitives only.

    Lightning stages in the system's temporary folder; on another device, the final move is a copy, and a kill during it
    leaves a torn checkpoint.

    Attributes:
        sha256: SHA-256 of the checkpoint that was read last, or None.
    """

    sha256: str | None = None

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: object | None = None
    ) -> None:
        """Write a checkpoint, all or nothing.

        Raises:
            OSError: If it cannot be written, for example because the disk is full; the old file is kept.
        """
        del storage_options
        target = Path(path)
        with replacing(target) as temporary:
            _write(checkpoint, temporary)
            if target.name == LAST and target.is_file():
                _keep(target, target.with_name(PREVIOUS))

    def load_checkpoint(
        self, path: str | Path, map_location: Any = "cpu", weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read a checkpoint.

        Raises:
            FileNotFoundError: If there is none.
            ValueError: If it is damaged, or the caller asks for arbitrary objects.
        """
        if weights_only is False:
            raise ValueError("Expected weights_only to be true or unset: checkpoints hold tensors and primitives only.")
        found = weights_file(Path(path))
        before = found.stat() if found.is_file() else None
        saved = load(Path(path), map_location)
        self.sha256 = sha256_of(found)
        after = found.stat()
        if before is None or (before.st_ino, before.st_mtime_ns) != (after.st_ino, after.st_mtime_ns):
            raise ValueError(f"Expected '{found}' to stay as it is but it was replaced while it was read. Try again.")
        return saved


def _write(checkpoint: dict[str, Any], path: Path) -> None:
    try:
        with path.open("wb") as file:
            torch.save(checkpoint, file)
    except RuntimeError as error:
        # PyTorch's own error says nothing of a full disk, which was the first one
        if isinstance(error.__context__, OSError):
            raise error.__context__ from None
        raise


def _keep(last: Path, previous: Path) -> None:
    """Give a checkpoint a second name; under its own, there is one at any time."""
    link = previous.with_name(f".{previous.name}.{secrets.token_hex(4)}.tmp")
    try:
        os.link(last, link)
    except OSError:  # a file system without hard links
        last.replace(previous)
        return
    link.replace(previous)
    link.unlink(missing_ok=True)  # it stays if both are names of one file, after a kill between the two


def load(path: Path, map_location: Any = "cpu", mmap: bool = False) -> dict[str, Any]:
    """Return what a checkpoint holds: tensors and primitives.

    Args:
        path: The file, or a folder that `mmpkd export` wrote.
        map_location: Where tensors go.
        mmap: Leave tensors on disk until they are used, for who wants to know something else.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it is damaged, or no checkpoint.
    """
    if path.is_dir():
        return read_exported(path)
    if not path.is_file():
        raise FileNotFoundError(f"Expected a checkpoint at '{path}' but there is none.")
    if is_damaged(path):
        raise ValueError(
            f"Expected a checkpoint but '{path}' is none, or damaged. Restore it from a copy, or train again."
        )
    try:
        saved: dict[str, Any] = torch.load(path, map_location=map_location, mmap=mmap, weights_only=True)
    except (pickle.UnpicklingError, KeyError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"Expected a checkpoint of tensors and primitives in '{path}' but: {reason}") from error
    return saved


def load_of_kind(path: Path, key: str, kind: str, mmap: bool = False) -> dict[str, Any]:
    """Return what the checkpoint of a student or of a teacher holds.

    Args:
        path: `checkpoints/best.ckpt` of a run, or an exported student.
        key: Key that only checkpoints of this kind have.
        kind: Kind of model, for messages.
        mmap: As in `load`.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no checkpoint, or one of another kind.
    """
    if not path.exists():
        raise FileNotFoundError(
            f"Expected the checkpoint of a {kind} at '{path}' but there is none. Train the {kind} first."
        )
    saved = load(path, mmap=mmap)
    if key not in saved:
        raise ValueError(f"Expected the checkpoint of a {kind} but '{path}' holds {sorted(saved)}.")
    return saved


def weights_file(path: Path) -> Path:
    """Return the file whose hash stands for a checkpoint or an exported folder."""
    return path / WEIGHTS if path.is_dir() else path


def checkpoint_of(path: Path) -> Path:
    """Return the best checkpoint if a path is the folder of a run, else the path itself."""
    best = RunFolder(path).best
    return best if best.is_file() else path


def check_layers(own: Mapping[str, Tensor], saved: Mapping[str, Tensor], kind: str) -> None:
    """Check that the weights of a checkpoint are those of a model.

    Args:
        own: Weights of the model by name.
        saved: Weights in the checkpoint.
        kind: Kind of model, for messages.

    Raises:
        ValueError: If a name is missing on one side, or shapes differ.
    """
    names = sorted(own.keys() | saved.keys())
    different = [name for name in names if _shape(own, name) != _shape(saved, name)]
    if different:
        name = different[0]
        raise ValueError(
            f"Expected the {kind} that the checkpoint was made of but {len(different)} of the weights differ, first of all "
            f"{name}: {_shape(saved, name) or 'none'} in the checkpoint, {_shape(own, name) or 'none'} here. Give the "
            "settings of the model as in the run's config.yaml."
        )


def _shape(weights: Mapping[str, Tensor], name: str) -> tuple[int, ...] | None:
    return tuple(weights[name].shape) if name in weights else None


def is_damaged(path: Path) -> bool:
    """Return whether a checkpoint lacks a part or has another content than was written, by its checksums."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is not None
    except zipfile.BadZipFile:
        return True


def checkpoint_to_resume(folder: RunFolder) -> Path | None:
    """Return the last checkpoint of a run, or the one before if that is damaged; None if there is none.

    Raises:
        ValueError: If all that there are are damaged.
    """
    there = [path for path in (folder.last, folder.previous) if path.is_file()]
    for path in there:
        if not is_damaged(path):
            return path
        logger.warning("'%s' is damaged.", path)
    if there:
        raise ValueError(
            f"Expected a checkpoint to go on from but all in '{folder.checkpoints}' are damaged. Delete the folder "
            f"'{folder.path}' to train again."
        )
    return None


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
