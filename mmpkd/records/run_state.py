"""The state of a run: what it is made from, how far it is, and how it ended."""

from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

Status = Literal["planned", "training", "trained", "tested", "failed"]


@dataclass(frozen=True)
class StudyRecord:
    """The part of a run's state that its study writes.

    Attributes:
        fingerprint: Hash of everything that decides how the run turns out.
        flags: Arguments of the command line.
        seconds: Duration of the last attempt, once it succeeded.
    """

    fingerprint: str
    flags: tuple[str, ...] = ()
    seconds: float | None = None


@dataclass(frozen=True)
class Lineage:
    """Where a run comes from.

    Attributes:
        git_commit: Commit of the package's checkout, or None outside one.
        version: Version of the package.
        teacher: Path of the teacher, or None.
        teacher_sha256: Hash of its checkpoint, or of the logits in a folder of targets.
        splits: Fingerprint of each split.
    """

    git_commit: str | None
    version: str
    teacher: str | None
    teacher_sha256: str | None
    splits: dict[str, str]


@dataclass(frozen=True)
class TrainingRecord:
    """How a training ended.

    Attributes:
        epochs: Epochs that were trained.
        steps: Optimizer steps.
        seconds: Duration of its last start.
        monitor: Validation score that the best checkpoint was chosen by.
        best_score: Its best value, or None if it was never a number.
        checkpoint: SHA-256 of the best checkpoint, or None if there is none.
    """

    epochs: int
    steps: int
    seconds: float
    monitor: str | None = None
    best_score: float | None = None
    checkpoint: str | None = None


@dataclass(frozen=True)
class TestRecord:
    """The result of a test.

    Attributes:
        checkpoint: SHA-256 of the checkpoint that was tested, or None for weights that came from none.
        metrics: Scores by name; None where one is undefined.
        data: Counts of each split.
        license: `credentialed`, `open` or `synthetic`.
        label_names: Names of the K labels.
        git_commit: Commit that the test was made with.
        version: Version of the package that it was made with.
        date: When it was finished, in UTC, as ISO 8601; None in older records.
        hardware: Model of the processor or GPU; None in older records.
    """

    __test__ = False  # it is no test of pytest

    checkpoint: str | None
    metrics: dict[str, float | None]
    data: dict[str, dict[str, int]]
    license: str
    label_names: tuple[str, ...]
    git_commit: str | None
    version: str
    date: str | None = None
    hardware: str | None = None


@dataclass(frozen=True)
class RunState:
    """The content of `run.json`.

    Attributes:
        status: `planned` by a study, `training`, `trained`, `tested` or `failed`.
        reason: Why it failed.
        seed: Seed of the run.
        job_type: Role in a study, for example teacher, baseline or distilled.
        study: What the study knows of it, or None outside a study.
        made_from: What its training was made from.
        training: How its training ended, or None if that is not complete.
        test: What its last test found, or None without one.
    """

    status: Status = "planned"
    reason: str | None = None
    seed: int | None = None
    job_type: str | None = None
    study: StudyRecord | None = None
    made_from: Lineage | None = None
    training: TrainingRecord | None = None
    test: TestRecord | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the state as primitives."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Self:
        """Read the state from primitives.

        Raises:
            TypeError: If they are not what `to_json` returns.
        """
        content = dict(content)
        for name, record in _RECORDS.items():
            part = content.get(name)
            if part is not None:
                for key in ("flags", "label_names"):
                    if key in part:
                        part = {**part, key: tuple(part[key])}
                content[name] = record(**part)
        return cls(**content)


_RECORDS: dict[str, Any] = {
    "study": StudyRecord,
    "made_from": Lineage,
    "training": TrainingRecord,
    "test": TestRecord,
}
