"""The state of a run: its lineage, its progress, and its results."""

from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

Status = Literal["planned", "training", "trained", "tested", "failed"]


@dataclass(frozen=True)
class StudyRecord:
    """The part of a run's state that its study writes.

    Attributes:
        fingerprint: Hash of everything that determines the result of the run.
        flags: Arguments of the command line.
        seconds: Duration of the last attempt, once it succeeded.
    """

    fingerprint: str
    flags: tuple[str, ...] = ()
    seconds: float | None = None


@dataclass(frozen=True)
class Lineage:
    """Code, teacher and data of a run.

    Attributes:
        git_commit: Commit of the package's checkout, or None if it is installed.
        version: Version of the package.
        teacher: Path of the teacher, or None.
        teacher_sha256: SHA-256 of the teacher's checkpoint, also of an exported one, or of the logits in a folder of targets.
        splits: Fingerprint of each split.
        code: SHA-256 of the source files of both packages; None in older records.
        license: Licence of the data: `credentialed`, `open` or `synthetic`; None in older records.
        earlier_code: The same of the source files that made the training before it was resumed with other ones, oldest first.
    """

    git_commit: str | None
    version: str
    teacher: str | None
    teacher_sha256: str | None
    splits: dict[str, str]
    code: str | None = None
    license: str | None = None
    earlier_code: tuple[str, ...] = ()


@dataclass(frozen=True)
class TrainingRecord:
    """The result of a finished training.

    Attributes:
        epochs: Number of epochs.
        steps: Number of optimizer steps.
        seconds: Duration since the training was started or last resumed.
        monitor: Validation score that the best checkpoint was chosen by.
        best_score: Best value of this score, or None if it was never finite.
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
        checkpoint: SHA-256 of the tested checkpoint, or None if the weights did not come from one.
        metrics: Scores by name; None if undefined.
        data: Counts of samples by split.
        license: `credentialed`, `open` or `synthetic`.
        label_names: Names of the K labels.
        git_commit: Commit of the package's checkout, or None if it is installed.
        version: Version of the package.
        date: When the test ended, in UTC, as ISO 8601; None in older records.
        hardware: Model of the processor or GPU; None in older records.
        code: SHA-256 of the source files of both packages; None in older records.
    """

    __test__ = False  # keeps pytest from collecting it

    checkpoint: str | None
    metrics: dict[str, float | None]
    data: dict[str, dict[str, int]]
    license: str
    label_names: tuple[str, ...]
    git_commit: str | None
    version: str
    date: str | None = None
    hardware: str | None = None
    code: str | None = None


@dataclass(frozen=True)
class RunState:
    """The content of `run.json`.

    Attributes:
        status: `planned` by a study, `training`, `trained`, `tested` or `failed`.
        reason: Error message of a failed run.
        seed: Seed of the run.
        job_type: Role in a study, for example teacher, baseline or distilled.
        study: Record of the study that the run belongs to, or None.
        made_from: Code, teacher and data of the training.
        training: Result of the training, or None if it is not finished.
        test: Result of the last test, or None if there was none.
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
        """Return the state for a result of `to_json`.

        Raises:
            TypeError: If fields are missing or unknown.
        """
        content = dict(content)
        for name, record in _RECORDS.items():
            part = content.get(name)
            if part is not None:
                for key in ("flags", "label_names", "earlier_code"):
                    if key in part:
                        # JSON gives lists back where the records have tuples
                        part = {**part, key: tuple(part[key])}
                content[name] = record(**part)
        return cls(**content)


_RECORDS: dict[str, Any] = {
    "study": StudyRecord,
    "made_from": Lineage,
    "training": TrainingRecord,
    "test": TestRecord,
}
