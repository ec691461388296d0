"""The student to export, with the records of its run."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmpkd.export.license import license_of_run, own_license, state_about
from mmpkd.records import RunFolder, RunState
from mmpkd.records.checkpoint import checkpoint_of, sha256_of
from mmpkd.students import TrainedStudent, load_trained_student


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
        """The strictest licence of the data that the student or a teacher of it has seen; `credentialed` if it is unknown."""
        if self.folder is None or self.state is None:
            return "credentialed"
        return license_of_run(self.folder, self.state)

    @property
    def own_license(self) -> str:
        """The strictest licence that is known of the student's own training and test data, or `credentialed` if none is."""
        return own_license(self.config, self.state)

    @property
    def config(self) -> dict[str, Any]:
        """Configuration of the training; empty if it is unknown."""
        return {} if self.folder is None or self.state is None else self.folder.settings


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
    return ExportSource(trained, sha256, folder, state_about(state, sha256))
