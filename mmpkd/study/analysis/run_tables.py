"""Tables of a study's finished runs."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import pandas as pd

from mmpkd.records import RunState, TestRecord
from mmpkd.records.roi_table import check_unions
from mmpkd.records.tables import read_table
from mmpkd.records.unit import Unit
from mmpkd.study.execution.command import RunCommand
from mmpkd.study.execution.likeness import Traits, budget_of, different, recorded, tested_by
from mmpkd.study.execution.run import Run
from mmpkd.study.plan.errors import StudyError
from mmpkd.study.plan.study_plan import Aspect


@dataclass(frozen=True)
class RunTables:
    """The tables of one finished run.

    Attributes:
        run: The run.
        state: Its state.
        test: Record of its test.
        predictions: One row per test image.
        rois: One row per image, finding and attribution; None for a teacher or a data set without ROIs.
        unions: One row per image and attribution, for all regions of the image together; None without ROIs.
    """

    run: Run
    state: RunState
    test: TestRecord
    predictions: pd.DataFrame
    rois: pd.DataFrame | None
    unions: pd.DataFrame | None = None

    @property
    def monitor(self) -> str | None:
        """Validation score that chose the checkpoint."""
        return None if self.state.training is None else self.state.training.monitor

    def localization(self, unit: Unit) -> pd.DataFrame | None:
        """Return the localization table of a unit."""
        return self.rois if unit == "finding" else self.unions

    def localization_path(self, unit: Unit) -> Path:
        """Return the path of the localization table of a unit."""
        return self.run.record.rois("test") if unit == "finding" else self.run.record.unions("test")


def read_run(run: Run) -> RunTables:
    """Read the tables of a finished run.

    Raises:
        StudyError: If a table is missing, damaged, of an older version, or made with another checkpoint than the trained one.
    """
    folder = run.record
    state = folder.state
    if state is None or state.test is None:
        raise StudyError(f"Expected the test of a finished run in {run.folder} but there is none. {_test_again(run)}")
    _check_complete(run, state.test)
    try:
        check_unions(folder, "test")
    except ValueError as error:
        raise StudyError(str(error)) from error
    # sorted by sample from here on: predictions of several runs are compared row by row
    predictions = _read(run, folder.predictions("test")).sort_values("sample_id", ignore_index=True)
    tables = [_read_rows(run, path) for path in (folder.rois("test"), folder.unions("test"))]
    return RunTables(run, state, state.test, predictions, *tables)


def tested_on(tables: Sequence[RunTables], test_set: str) -> list[RunTables]:
    """Return the runs that were tested on another data set, or on the study's own if `test_set` is ""."""
    return [table for table in tables if table.run.test_set == test_set]


def unlike(arm: Sequence[RunTables], reference: Sequence[RunTables]) -> tuple[Aspect, ...]:
    """Return what differs between the trainings of two arms, seed by seed, although it is not part of the question.

    Args:
        arm: Runs of the arm.
        reference: Runs of the reference with the same seeds in the same order.
    """
    # all runs of an arm have the same settings
    budgets = budget_of(arm[0].run), budget_of(reference[0].run)
    found = {budgets[0][name].aspect for name in different(*budgets)}
    for own, other in zip(arm, reference, strict=True):
        traits = _recorded(own), _recorded(other)
        found |= {traits[0][name].aspect for name in different(*traits)}
    return tuple(aspect for aspect in get_args(Aspect) if aspect in found)


def _recorded(table: RunTables) -> Traits:
    # a test on another data set records nothing about the training
    training = table.state if table.run.trained is None else table.run.trained_record.state
    return {**recorded(training), **tested_by(table.test.code)}


def seeds_of(tables: Sequence[RunTables]) -> set[int]:
    """Return the seeds of the runs."""
    return {table.run.seed for table in tables}


def tables_by_arm(tables: Sequence[RunTables], arms: Iterable[str]) -> dict[str, list[RunTables]]:
    """Return the tables of the given arms, by arm."""
    found: dict[str, list[RunTables]] = {name: [] for name in arms}
    for table in tables:
        if table.run.arm.name in found:
            found[table.run.arm.name].append(table)
    return found


def _check_complete(run: Run, test: TestRecord) -> None:
    """Check that every table that a test wrote is still there: a run without regions would be left out without a word."""
    folder = run.record
    written = [folder.predictions("test")]
    # the numbers of regions that were scored: of findings, or of an image together
    counts = [name for name in test.metrics if name.endswith("/num_roi")]
    if any(not name.endswith("/union/num_roi") for name in counts):
        written.append(folder.rois("test"))
    if any(name.endswith("/union/num_roi") for name in counts):
        written.append(folder.unions("test"))
    if any(name.endswith("/deletion") for name in test.metrics):
        written.append(folder.faithfulness)
    for path in written:
        if not path.is_file():
            raise StudyError(f"Expected {path}, which the test of the run wrote, but there is none. {_test_again(run)}")


def _test_again(run: Run) -> str:
    return f"Test the run again: {RunCommand('test', run, checkpoint=run.checkpoint)}"


def _read_rows(run: Run, path: Path) -> pd.DataFrame | None:
    """Read a table; None if it is missing or has no rows."""
    frame = _read(run, path) if path.is_file() else None
    return None if frame is None or frame.empty else frame


def _read(run: Run, path: Path) -> pd.DataFrame:
    """Read a table after checking that the trained checkpoint made it."""
    try:
        table = read_table(path)
    except ValueError as error:
        raise StudyError(str(error)) from error
    # scores of an earlier training must not be reported as those of this one
    trained = run.trained_record.state
    expected = None if trained is None or trained.training is None else trained.training.checkpoint
    if table.checkpoint != expected:
        raise StudyError(
            f"Expected {path} to be made with {run.checkpoint} but it was made with another checkpoint. {_test_again(run)}"
        )
    return table.frame
