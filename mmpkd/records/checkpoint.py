"""Checkpoints: atomic writes, safe reads, and hashes that identify them."""

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
    """Writes checkpoints atomically, keeps the previous one, and reads tensors and primitives only.

    Lightning writes to the system's temporary folder first. If that is on another file system, the final move is a copy, and a
    kill during the copy leaves a damaged checkpoint.

    Attributes:
        sha256: SHA-256 of the checkpoint that was read last, or None.
    """

    sha256: str | None = None

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: object | None = None
    ) -> None:
        """Write a checkpoint atomically.

        Raises:
            OSError: If it cannot be written, for example because the disk is full. The old file is then kept.
        """
        del storage_options
        target = Path(path)
        with replacing(target) as temporary:
            _write(checkpoint, temporary)
            # once the new file is written, so that a whole checkpoint is there at any time
            if target.name == LAST and target.is_file():
                _keep(target, target.with_name(PREVIOUS))

    def load_checkpoint(
        self, path: str | Path, map_location: Any = "cpu", weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read a checkpoint.

        Raises:
            FileNotFoundError: If it does not exist.
            ValueError: If it is damaged, or `weights_only` is false.
        """
        if weights_only is False:
            raise ValueError(
                "Expected weights_only to be true or unset but got false: checkpoints contain only tensors and primitives."
            )
        found = weights_file(Path(path))
        before = found.stat() if found.is_file() else None
        saved = load(Path(path), map_location)
        self.sha256 = sha256_of(found)
        # a training may have replaced the file between reading and hashing
        after = found.stat()
        if before is None or (before.st_ino, before.st_mtime_ns) != (after.st_ino, after.st_mtime_ns):
            raise ValueError(f"Expected '{found}' to stay the same but it was replaced while it was read. Try again.")
        return saved


def _write(checkpoint: dict[str, Any], path: Path) -> None:
    try:
        with path.open("wb") as file:
            torch.save(checkpoint, file)
    except RuntimeError as error:
        # PyTorch's own error does not mention the full disk, which raised the first error
        if isinstance(error.__context__, OSError):
            raise error.__context__ from None
        raise


def _keep(last: Path, previous: Path) -> None:
    """Give a checkpoint a second name with a hard link. The file also keeps its own name at all times."""
    # `os.link` refuses a name that exists, so link to a new one and rename that
    link = previous.with_name(f".{previous.name}.{secrets.token_hex(4)}.tmp")
    try:
        os.link(last, link)
    except OSError:  # a file system without hard links
        last.replace(previous)
        return
    link.replace(previous)
    link.unlink(
        missing_ok=True
    )  # `replace` does nothing if both are already links to the same file, after an earlier kill


def load(path: Path, map_location: Any = "cpu", mmap: bool = False) -> dict[str, Any]:
    """Return the content of a checkpoint: tensors and primitives.

    Args:
        path: The file, or a folder that `mmpkd export` wrote.
        map_location: Device of the tensors.
        mmap: Leave tensors on disk until they are used, which is faster if only other entries are needed.

    Raises:
        FileNotFoundError: If it does not exist.
        ValueError: If it is damaged, or not a checkpoint.
    """
    if path.is_dir():
        return read_exported(path)
    if not path.is_file():
        raise FileNotFoundError(f"Expected a checkpoint at '{path}' but there is none.")
    if is_damaged(path):
        raise ValueError(
            f"Expected a checkpoint but '{path}' is damaged, or not a checkpoint. Restore it from a copy, or train again."
        )
    try:
        saved: dict[str, Any] = torch.load(path, map_location=map_location, mmap=mmap, weights_only=True)
    except (pickle.UnpicklingError, KeyError, RuntimeError) as error:
        # PyTorch's next lines advise weights_only=False, which would run code from the file
        reason = str(error).splitlines()[0]
        raise ValueError(f"Expected a checkpoint of tensors and primitives in '{path}' but: {reason}") from error
    return saved


def load_of_kind(path: Path, key: str, kind: str, mmap: bool = False) -> dict[str, Any]:
    """Return the content of a checkpoint after checking that it belongs to the expected kind of model.

    Args:
        path: `checkpoints/best.ckpt` of a run, or an exported student.
        key: Key that only checkpoints of this kind have.
        kind: Kind of model for messages: student or teacher.
        mmap: As in `load`.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not a checkpoint, or one of another kind.
    """
    if not path.exists():
        raise FileNotFoundError(
            f"Expected the checkpoint of a {kind} at '{path}' but there is none. Train the {kind} first."
        )
    saved = load(path, mmap=mmap)
    if key not in saved:
        raise ValueError(f"Expected the checkpoint of a {kind} but '{path}' contains {sorted(saved)}.")
    return saved


def weights_file(path: Path) -> Path:
    """Return the file whose hash stands for a checkpoint or an exported folder."""
    return path / WEIGHTS if path.is_dir() else path


def checkpoint_of(path: Path) -> Path:
    """Return the best checkpoint if a path is the folder of a run, else the path itself."""
    best = RunFolder(path).best
    return best if best.is_file() else path


def check_layers(own: Mapping[str, Tensor], saved: Mapping[str, Tensor], kind: str) -> None:
    """Check that the weights of a checkpoint fit a model.

    Args:
        own: Weights of the model by name.
        saved: Weights of the checkpoint by name.
        kind: Kind of model for messages: student or teacher.

    Raises:
        ValueError: If a name is missing on one side, or shapes differ.
    """
    names = sorted(own.keys() | saved.keys())
    different = [name for name in names if _shape(own, name) != _shape(saved, name)]
    if different:
        name = different[0]
        raise ValueError(
            f"Expected the {kind} that the checkpoint belongs to but {len(different)} weights differ, the first one being "
            f"{name}: {_shape(saved, name) or 'none'} in the checkpoint, {_shape(own, name) or 'none'} here. Use the settings "
            "of the model in the run's config.yaml."
        )


def _shape(weights: Mapping[str, Tensor], name: str) -> tuple[int, ...] | None:
    return tuple(weights[name].shape) if name in weights else None


def is_damaged(path: Path) -> bool:
    """Return whether a checkpoint is incomplete or does not match its checksums."""
    try:
        with zipfile.ZipFile(path) as archive:
            # PyTorch's checkpoints are ZIP archives, which have a checksum of every entry
            return archive.testzip() is not None
    except zipfile.BadZipFile:
        return True


def checkpoint_to_resume(folder: RunFolder) -> Path | None:
    """Return the last checkpoint of a run, or the previous one if the last is damaged; None if there is none.

    Raises:
        ValueError: If all checkpoints are damaged.
    """
    found = [path for path in (folder.last, folder.previous) if path.is_file()]
    for path in found:
        if not is_damaged(path):
            return path
        logger.warning("'%s' is damaged.", path)
    if found:
        raise ValueError(
            f"Expected a checkpoint to resume from but all in '{folder.checkpoints}' are damaged. Delete the folder "
            f"'{folder.path}' to train again."
        )
    return None


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
