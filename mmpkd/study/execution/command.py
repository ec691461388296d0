"""A run as a command of the Lightning command line. This is the only place that writes flags."""

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mmpkd.records import RunFolder
from mmpkd.study.execution.run import Run
from mmpkd.study.plan.flags import TEACHER

Verb = Literal["fit", "test"]


@dataclass(frozen=True)
class RunCommand:
    """A command that trains or tests a run.

    Attributes:
        verb: `fit` or `test`.
        run: The run.
        fingerprint: Fingerprint of the run, if a study gives the command.
        checkpoint: Checkpoint to resume from or to test, or None.
    """

    verb: Verb
    run: Run
    fingerprint: str | None = None
    checkpoint: Path | None = None

    def arguments(self) -> list[str]:
        """Return the arguments of `mmpkd`."""
        study = _flag("run.study", self.fingerprint)
        return [self.verb, *flags_of(self.run), *study, *_flag("ckpt_path", self.checkpoint)]

    def __str__(self) -> str:
        """Return the command as typed into a shell."""
        return shlex.join(["mmpkd", *self.arguments()])


Execute = Callable[[RunCommand], None]


def first_command(run: Run) -> RunCommand:
    """Return the first command of a run: its training, or its test if it is on another data set."""
    return RunCommand("fit", run) if run.external is None else RunCommand("test", run, checkpoint=run.checkpoint)


def flags_of(run: Run) -> list[str]:
    """Return the flags of a run; later flags override earlier ones."""
    words: list[str] = []
    for config in run.arm.config:
        words += _flag("config", config)
    words += _flag("run.dir", run.folder)
    words += [] if run.has_figures else _flag("run.figures", "false")
    words += identity_flags(run)
    words += _flag(TEACHER, None if run.teacher is None else RunFolder(run.teacher).best)
    words += _flag("run.reference", run.reference)
    # after the study's own flags, of which `check_overrides` protects those that must stay
    for flag in run.overrides:
        words += flag.words
    if run.external is not None:
        # last, so that it replaces the data module of the training
        words += _flag("data", run.external.data)
        words += run.external.overrides
    return words


def identity_flags(run: Run) -> list[str]:
    """Return the flags that identify a run within the study; none of them is a path."""
    words: list[str] = []
    if run.fold is not None:
        words += _flag("run.num_folds", run.fold.num_folds)
        words += _flag("run.held_out_fold", run.fold.held_out)
    words += _flag("run.group", run.group)
    words += _flag("run.job_type", run.arm.name)
    words += _flag("seed_everything", run.training_seed)
    return words


def _flag(name: str, value: object) -> list[str]:
    return [] if value is None else [f"--{name}", str(value)]
