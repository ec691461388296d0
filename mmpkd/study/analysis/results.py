"""Tables of a study's finished runs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from mmpkd.metrics.classification import auroc, average_precision, expected_calibration_error
from mmpkd.records import RunFolder, RunState, TestRecord
from mmpkd.records.roi_table import score_columns
from mmpkd.records.tables import read_table
from mmpkd.study.execution.command import RunCommand
from mmpkd.study.execution.run import Run
from mmpkd.study.plan.study_plan import NotComparableError, StudyError

ALL = "all"
# what a map without information scores; other scores are those of an all-ones map, the share of the image that the ROI takes
CHANCE = {"pixel_auroc": 0.5, "cnr": 0.0}


@dataclass(frozen=True)
class RunTables:
    """What one finished run left.

    Attributes:
        run: The run.
        state: Its state.
        test: What its test found.
        predictions: One row a test image.
        rois: One row an (image, finding, attribution); None for a teacher or a data set without ROIs.
    """

    run: Run
    state: RunState
    test: TestRecord
    predictions: pd.DataFrame
    rois: pd.DataFrame | None

    @property
    def monitor(self) -> str | None:
        """Validation score that its checkpoint was chosen by."""
        return None if self.state.training is None else self.state.training.monitor

    @property
    def scores(self) -> list[str]:
        """Localization scores that the table has."""
        return [] if self.rois is None else score_columns(self.rois)


def read_run(run: Run) -> RunTables:
    """Read the tables of a finished run.

    Raises:
        StudyError: If one is missing, damaged, or made with another checkpoint than that of the training.
    """
    folder = run.record
    state = folder.state
    if state is None or state.test is None or not folder.predictions("test").is_file():
        raise StudyError(
            f"Expected the test of a finished run in {run.folder} but it is not complete. Delete the folder and rerun."
        )
    predictions = _read(run, folder.predictions("test")).sort_values("sample_id", ignore_index=True)
    rois = _read(run, folder.rois("test")) if folder.rois("test").is_file() else None
    if rois is not None and rois.empty:
        rois = None
    return RunTables(run, state, state.test, predictions, rois)


def _read(run: Run, path: Path) -> pd.DataFrame:
    """Read a table of the checkpoint that the run was trained to."""
    try:
        table = read_table(path)
    except ValueError as error:
        raise StudyError(str(error)) from error
    trained = run.trained_record.state
    expected = None if trained is None or trained.training is None else trained.training.checkpoint
    if table.checkpoint != expected:
        raise StudyError(
            f"Expected {path} to be made with {run.checkpoint} but it was made with another checkpoint. Test the run again: "
            f"{RunCommand('test', run, checkpoint=run.checkpoint)}"
        )
    return table.frame


def results_table(tables: Sequence[RunTables]) -> pd.DataFrame:
    """Return every score of every run.

    Returns:
        Columns test_set ("" for the study's own), arm, seed, measure, attribution, finding (`all` for the mean), value, num
        (images or ROIs that were scored), num_undefined, chance (AUROC .5, AUPRC the prevalence, ECE none, pixel AUROC .5,
        CNR 0, any other localization score the mean share of the image that its ROIs take: what the all-ones map scores).
    """
    parts = (_classification, _localization)
    rows = [(table.run.test_set, *row) for table in tables for part in parts for row in part(table)]
    columns = [
        "test_set",
        "arm",
        "seed",
        "measure",
        "attribution",
        "finding",
        "value",
        "num",
        "num_undefined",
        "chance",
    ]
    return pd.DataFrame(rows, columns=columns)


def _classification(table: RunTables) -> Iterator[tuple[Any, ...]]:
    frame = table.predictions
    findings = [name.removeprefix("target/") for name in frame.columns if name.startswith("target/")]
    # copies, since columns of a table may be read-only
    target = np.array(frame[[f"target/{name}" for name in findings]], dtype=np.float64)
    preds = np.array(frame[[f"probability/{name}" for name in findings]], dtype=np.float64)
    stated = (~np.isnan(target)).sum(axis=0)
    prevalence = target.sum(axis=0, where=~np.isnan(target)) / np.maximum(stated, 1)
    measures = (
        ("auroc", auroc, np.full(len(findings), 0.5)),
        ("auprc", average_precision, prevalence),
        ("ece", expected_calibration_error, np.full(len(findings), np.nan)),
    )
    for measure, function, chance in measures:
        values = function(torch.from_numpy(preds), torch.from_numpy(target)).numpy()
        undefined = int(np.isnan(values).sum())
        macro = float(np.nanmean(values)) if undefined < len(values) else float("nan")
        level = float(chance[~np.isnan(values)].mean()) if undefined < len(values) else float("nan")
        yield (table.run.arm.name, table.run.seed, measure, "", ALL, macro, len(frame), undefined, level)
        for finding, value, num, own in zip(findings, values, stated, chance, strict=True):
            missing = int(np.isnan(value))
            yield (table.run.arm.name, table.run.seed, measure, "", finding, value, int(num), missing, float(own))


def _localization(table: RunTables) -> Iterator[tuple[Any, ...]]:
    if table.rois is None:
        return
    for attribution, own in table.rois.groupby("attribution", sort=True):
        groups = [(ALL, own), *own.groupby("finding", sort=True)]
        for (finding, rows), score in ((group, score) for group in groups for score in table.scores):
            values = rows[score]
            counts = int(values.notna().sum()), int(values.isna().sum())
            chance = CHANCE.get(score, rows["area"][values.notna()].mean())
            yield (table.run.arm.name, table.run.seed, score, attribution, finding, values.mean(), *counts, chance)


def paired_differences(
    arm: Sequence[RunTables], reference: Sequence[RunTables], attribution: str, score: str
) -> pd.DataFrame:
    """Return the difference of two arms for every ROI pair and common seed.

    Args:
        arm: Runs of the arm.
        reference: Runs of the reference.
        attribution: Read-out.
        score: Localization score.

    Returns:
        Index sample_id, patient_id, finding; one column a seed.

    Raises:
        NotComparableError: If the arms have no seed in common, or no such read-out.
        StudyError: If they were tested on different ROIs.
    """
    columns = {}
    for first in arm:
        for second in reference:
            if first.run.seed == second.run.seed:
                pair = [roi_values(tables, attribution, score) for tables in (first, second)]
                if not pair[0].index.equals(pair[1].index):
                    raise StudyError(_different(first, second, "ROIs"))
                columns[first.run.seed] = pair[0] - pair[1]
    frame = pd.DataFrame(columns)
    if frame.empty:
        names = [tables[0].run.arm.name for tables in (arm, reference) if tables]
        raise NotComparableError(
            f"Expected a seed and ROIs that both arms of a comparison have but {names} have none in common."
        )
    return frame


def paired(tables: Sequence[RunTables], attribution: str, column: str) -> pd.DataFrame:
    """Return a column of the per-ROI table of several runs, in the order of `paired_differences`; one column a seed."""
    return pd.DataFrame({table.run.seed: _column(table, attribution, column) for table in tables})


def macro_auroc(table: RunTables) -> float:
    """Return the mean AUROC of a run over the findings that have one."""
    return next(float(row[5]) for row in _classification(table) if row[2] == "auroc" and row[4] == ALL)


def roi_values(tables: RunTables, attribution: str, score: str) -> "pd.Series[float]":
    """Return a score of every ROI of a run, by sample_id, patient_id and finding.

    Raises:
        NotComparableError: If the run has no such read-out or score.
    """
    rois = tables.rois
    known = [] if rois is None else sorted(rois["attribution"].unique())
    if rois is None or attribution not in known or score not in tables.scores:
        raise NotComparableError(
            f"Expected read-out '{attribution}' with score '{score}' in {tables.run.record.rois('test')} but it has "
            f"the read-outs {known} and the scores {tables.scores}."
        )
    return _column(tables, attribution, score)


def _column(tables: RunTables, attribution: str, column: str) -> "pd.Series[float]":
    assert tables.rois is not None
    own = tables.rois[tables.rois["attribution"] == attribution]
    return own.set_index(["sample_id", "patient_id", "finding"])[column].sort_index()


def stacked_predictions(tables: Sequence[RunTables], kind: str) -> "np.ndarray[Any, np.dtype[np.float64]]":
    """Return the `probability` or `target` columns of several runs of one test set, (S, N, K).

    Raises:
        StudyError: If the runs predicted different images or labels.
    """
    frames = [table.predictions for table in tables]
    known = ["sample_id", *(name for name in frames[0].columns if name.startswith("target/"))]
    for table in tables:
        if not set(known) <= set(table.predictions.columns) or not table.predictions[known].equals(frames[0][known]):
            raise StudyError(_different(tables[0], table, "images or labels"))
    columns = [name for name in frames[0].columns if name.startswith(f"{kind}/")]
    return np.stack([frame[columns].to_numpy(dtype=np.float64) for frame in frames])


def _different(first: RunTables, second: RunTables, what: str) -> str:
    return (
        f"Expected the same test {what} in {first.run.folder} and {second.run.folder} but they differ. Train all arms on "
        "the same data."
    )


def map_files(folder: Path, limit: int) -> list[Path]:
    """Return the attribution maps that a run drew of test images, by name."""
    return sorted(RunFolder(folder).maps("test").glob("*.png"))[:limit]
