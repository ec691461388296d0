"""Where the runs of a report come from."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mmpkd.study.analysis.run_tables import RunTables
from mmpkd.study.execution.fingerprint import run_fingerprint
from mmpkd.study.execution.planned_runs import stated_flags
from mmpkd.study.execution.run import seconds_taken
from mmpkd.study.plan.flags import Flag
from mmpkd.study.plan.study_plan import StudyPlan

_DIGITS = 12


@dataclass(frozen=True)
class Provenance:
    """Where a run comes from; hashes are shortened.

    Attributes:
        name: Name of the run.
        folder: Its folder, relative to the folder of the study.
        files: Its text files, relative to its folder.
        commit: Commit of the code that tested it, or `none`.
        settings: Fingerprint of its settings.
        teacher: Folder of its teacher, or "".
        train: Fingerprint of its training data, or "".
        test: Fingerprint of its test data, or "".
        epochs: Number of epochs of its training, or None.
    """

    name: str
    folder: str
    files: tuple[str, ...]
    commit: str
    settings: str
    teacher: str
    train: str
    test: str
    epochs: int | None


@dataclass(frozen=True)
class Circumstances:
    """When and on which hardware the runs were made. Nothing else on a page differs between equal studies.

    Attributes:
        dates: Days of the first and the last test, in UTC; empty if the runs did not record them.
        hardware: Processors and GPUs.
        minutes: Total duration of all runs and of the tests on other data sets, each since its last start; None if that of some
            run is unknown.
    """

    dates: tuple[str, ...]
    hardware: tuple[str, ...]
    minutes: float | None


def provenance(table: RunTables, out: Path) -> Provenance:
    """Return where a run comes from.

    Args:
        table: The run.
        out: Folder of the study.
    """
    run = table.run
    splits = {} if table.state.made_from is None else table.state.made_from.splits
    files = (run.record.config, run.record.metrics, run.record.path / "run.json")
    return Provenance(
        name=run.name,
        folder=run.folder.relative_to(out).as_posix(),
        files=tuple(path.name for path in files if path.is_file()),
        commit=(table.test.git_commit or "none")[:_DIGITS],
        settings=run_fingerprint(run)[:_DIGITS],
        teacher="" if run.teacher is None else run.teacher.relative_to(out).as_posix(),
        train=splits.get("train", "")[:_DIGITS],
        test=splits.get("test", "")[:_DIGITS],
        epochs=None if table.state.training is None else table.state.training.epochs,
    )


def circumstances(tables: Sequence[RunTables]) -> Circumstances:
    """Return when and on what runs were made."""
    days = sorted({table.test.date[:10] for table in tables if table.test.date})
    seconds = [seconds_taken(table.run) for table in tables]
    known = [value for value in seconds if value is not None]
    return Circumstances(
        dates=tuple(dict.fromkeys((days[0], days[-1]))) if days else (),
        hardware=tuple(sorted({table.test.hardware for table in tables if table.test.hardware})),
        minutes=sum(known) / 60 if known and len(known) == len(seconds) else None,
    )


def study_command(plan: StudyPlan, seeds: Sequence[int], tables: Sequence[RunTables]) -> str:
    """Return the command that makes the runs of a report from the study file.

    Args:
        plan: The study.
        seeds: Seeds of the student arms.
        tables: Its finished runs, at least one.
    """
    words = ["mmpkd", "study", f"{plan.name}.yaml"]
    if tuple(seeds) != plan.seeds:
        words += ["--seeds", *map(str, seeds)]
    added: list[Flag] = []
    for table in tables:
        run = table.run
        if run.external is None:
            # each arm has the flags that are for it; what the study states comes first
            own = run.overrides[len(stated_flags(plan, run.arm)) :]
            added += [flag for flag in own if flag not in added]
    if added:
        words += ["--", *(word for flag in added for word in flag.words)]
    return shlex.join(words)
