"""The student to export, with the records of its run."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml

from mmpkd.records import RunFolder, RunState
from mmpkd.records.checkpoint import checkpoint_of, sha256_of
from mmpkd.students import TrainedStudent, load_trained_student

_STRICTEST_FIRST = ("credentialed", "open", "synthetic")


@dataclass(frozen=True)
class ExportSource:
    """A trained student and the records of the run that made it.

    Attributes:
        trained: The student.
        sha256: SHA-256 of the student's checkpoint.
        folder: Folder of the run, or None for a checkpoint outside a run.
        state: State of the run, restricted to this checkpoint, or None.
    """

    trained: TrainedStudent
    sha256: str
    folder: RunFolder | None
    state: RunState | None

    @property
    def data_license(self) -> str:
        """The strictest licence that is known of the data, or `credentialed` if none is.

        A student can be tested on other data than those that it was trained on.
        """
        tested = None if self.state is None else self.state.test
        known = [training_license(self.config), None if tested is None else tested.license]
        return min(filter(None, known), key=_STRICTEST_FIRST.index, default="credentialed")

    @property
    def config(self) -> dict[str, Any]:
        """Configuration of the training; empty if it is unknown."""
        if self.folder is None or self.state is None or not self.folder.config.is_file():
            return {}
        return dict(yaml.safe_load(self.folder.config.read_text(encoding="utf-8")))


def training_license(config: Mapping[str, Any]) -> str | None:
    """Return the licence of the data of a training, or None for a data module of the user's own."""
    kind = data_kind(config)
    if kind is None:
        return None
    stated = config["data"].get("init_args", {}).get("data_license")
    return str(stated or kind.license)


def data_kind(config: Mapping[str, Any]) -> Any:
    """Return the class of our own data module of a training, or None for one of the user's, which is not imported."""
    module, _, name = data_class(config).rpartition(".")
    return getattr(import_module(module), name) if module.split(".")[0] == "data_modules" else None


def data_class(config: Mapping[str, Any]) -> str:
    """Return the import path of the data module of a training, or "" if it is unknown."""
    data = config.get("data")
    return str(data.get("class_path", "")) if isinstance(data, dict) else ""


def open_source(path: Path) -> ExportSource:
    """Load a student to export.

    Args:
        path: Folder of a run, or a checkpoint.

    Raises:
        FileNotFoundError: If there is no such checkpoint.
        ValueError: If it is not a student's checkpoint.
    """
    checkpoint = checkpoint_of(path)
    if checkpoint.is_dir():
        raise FileNotFoundError(
            f"Expected the folder of a trained run, or a checkpoint, but '{path}' has no checkpoints/best.ckpt."
        )
    trained = load_trained_student(checkpoint)
    sha256 = sha256_of(checkpoint)
    folder = RunFolder(checkpoint.absolute().parent.parent)  # <run>/checkpoints/best.ckpt
    state = folder.state
    if state is None:
        return ExportSource(trained, sha256, None, None)
    return ExportSource(trained, sha256, folder, _about(state, sha256))


def _about(state: RunState, sha256: str) -> RunState | None:
    """Return the state of a run if it describes this checkpoint: `best.ckpt` was tested, `last.ckpt` was not."""
    training = state.training is not None and state.training.checkpoint == sha256
    tested = state.test is not None and state.test.checkpoint == sha256
    if not training and not tested:
        return None
    return state if tested else RunState.from_json({**state.to_json(), "test": None})
