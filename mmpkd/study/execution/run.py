"""A run of a study, and its state according to its folder."""

from dataclasses import dataclass
from pathlib import Path

from mmpkd.records import RunFolder
from mmpkd.study.plan.flags import Flag
from mmpkd.study.plan.study_plan import Arm, External


@dataclass(frozen=True)
class Fold:
    """A share of the training patients that a teacher is not trained on.

    Attributes:
        held_out: Index of the fold, from 0.
        num_folds: Number of folds.
    """

    held_out: int
    num_folds: int


@dataclass(frozen=True)
class Run:
    """A training of an arm with its test, or the test of a trained student on another data set.

    Attributes:
        arm: The arm.
        seed: Seed within the study.
        folder: Folder with all files of the run.
        group: Name of the study, or None outside a study.
        overrides: Flags that override the arm's configuration files.
        teacher: Folder of the run that it is distilled from, or None.
        reference: Folder of the run that the teacher card compares with, or None.
        has_figures: Whether maps are drawn and their faithfulness is scored.
        fold: Held-out fold, or None. With a fold, the seed is that of the configuration.
        external: Other data set to test on, or None for a training.
        trained: Folder of the run whose student is tested on it, or None for a training.
    """

    arm: Arm
    seed: int
    folder: Path
    group: str | None = None
    overrides: tuple[Flag, ...] = ()
    teacher: Path | None = None
    reference: Path | None = None
    has_figures: bool = True
    fold: Fold | None = None
    external: External | None = None
    trained: Path | None = None

    @property
    def name(self) -> str:
        """Arm, seed and other data set, for messages."""
        if self.fold is not None:
            return f"{self.arm.name} {self.fold.held_out}"
        name = f"{self.arm.name} (seed {self.seed})"
        return f"{name} on {self.test_set}" if self.test_set else name

    @property
    def test_set(self) -> str:
        """Name of the other data set; "" for a training."""
        return "" if self.external is None else self.external.name

    @property
    def training_seed(self) -> int | None:
        """Seed of the training, or None if the configuration sets it."""
        return None if self.fold is not None else self.seed + self.arm.seed_offset

    @property
    def record(self) -> RunFolder:
        """Its files."""
        return RunFolder(self.folder)

    @property
    def trained_record(self) -> RunFolder:
        """Files of the training whose checkpoint is tested."""
        return RunFolder(self.trained or self.folder)

    @property
    def checkpoint(self) -> Path:
        """The checkpoint that is tested."""
        return self.trained_record.best


@dataclass(frozen=True)
class EndedRun:
    """A run that ended.

    Attributes:
        run: The run.
        reason: Why it failed, or None.
    """

    run: Run
    reason: str | None


@dataclass(frozen=True)
class FailedRun:
    """A run that failed or could not start.

    Attributes:
        run: The run.
        reason: Why it failed.
    """

    run: Run
    reason: str


def is_finished(run: Run) -> bool:
    """Return whether a study trained a run and tested the trained checkpoint."""
    state = run.record.state
    trained = run.trained_record.state
    if state is None or state.study is None or state.status != "tested":
        return False
    if state.test is None or trained is None or trained.training is None:
        return False
    return state.test.checkpoint == trained.training.checkpoint


def seconds_taken(run: Run) -> float | None:
    """Return how many seconds a finished run took since its last start, or None if that is unknown."""
    state = run.record.state
    return None if state is None or state.study is None else state.study.seconds
