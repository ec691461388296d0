"""Where the runs of a report come from."""

from dataclasses import dataclass
from pathlib import Path

from mmpkd.study.analysis.run_tables import RunTables
from mmpkd.study.execution.fingerprint import run_fingerprint

_DIGITS = 12


@dataclass(frozen=True)
class Provenance:
    """Where a run comes from; hashes are shortened.

    Attributes:
        name: Name of the run.
        folder: Its folder, relative to that of the study.
        commit: Commit that it was tested with, or `none`.
        settings: Fingerprint of its settings.
        teacher: Folder of its teacher, or "".
        train: Fingerprint of its training data, or "".
        test: Fingerprint of its test data, or "".
        epochs: Epochs of its training, or None.
    """

    name: str
    folder: str
    commit: str
    settings: str
    teacher: str
    train: str
    test: str
    epochs: int | None


def provenance(table: RunTables, out: Path) -> Provenance:
    """Return where a run comes from.

    Args:
        table: The run.
        out: Folder of the study.
    """
    run = table.run
    splits = {} if table.state.made_from is None else table.state.made_from.splits
    return Provenance(
        name=run.name,
        folder=run.folder.relative_to(out).as_posix(),
        commit=(table.test.git_commit or "none")[:_DIGITS],
        settings=run_fingerprint(run)[:_DIGITS],
        teacher="" if run.teacher is None else run.teacher.relative_to(out).as_posix(),
        train=splits.get("train", "")[:_DIGITS],
        test=splits.get("test", "")[:_DIGITS],
        epochs=None if table.state.training is None else table.state.training.epochs,
    )
