"""Values of several runs on the same images and ROIs, side by side."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from mmpkd.records.prediction_table import probability_column, target_column
from mmpkd.statistics.resampling import Floats
from mmpkd.study.analysis.run_tables import RunTables
from mmpkd.study.plan.study_plan import Measure, NotComparableError, StudyError


def paired_differences(arm: Sequence[RunTables], reference: Sequence[RunTables], measure: Measure) -> pd.DataFrame:
    """Return the difference of two arms for every ROI pair and common seed.

    Args:
        arm: Runs of the arm.
        reference: Runs of the reference.
        measure: What is compared.

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
                own = roi_values(first, measure)
                other = roi_values(second, measure)
                if not own.index.equals(other.index):
                    raise StudyError(_different(first, second, "ROIs"))
                columns[first.run.seed] = own - other
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


def by_seed(frame: pd.DataFrame) -> Floats:
    """Return a table of ROIs and seeds as an array (S, N)."""
    return frame.to_numpy(dtype=np.float64).T


def roi_values(tables: RunTables, measure: Measure) -> "pd.Series[float]":
    """Return a score of every ROI of a run, by sample_id, patient_id and finding.

    Raises:
        NotComparableError: If the run has no such read-out or score.
    """
    rois = tables.rois
    known = [] if rois is None else sorted(rois["attribution"].unique())
    if rois is None or measure.attribution not in known or measure.score not in tables.scores:
        raise NotComparableError(
            f"Expected read-out '{measure.attribution}' with score '{measure.score}' in {tables.run.record.rois('test')} but "
            f"it has the read-outs {known} and the scores {tables.scores}."
        )
    return _column(tables, measure.attribution, measure.score)


def _column(tables: RunTables, attribution: str, column: str) -> "pd.Series[float]":
    assert tables.rois is not None
    own = tables.rois[tables.rois["attribution"] == attribution]
    return own.set_index(["sample_id", "patient_id", "finding"])[column].sort_index()


def stacked_predictions(tables: Sequence[RunTables]) -> Floats:
    """Return the probabilities (S, N, K) that S runs of one test set predict for N images and K labels.

    Raises:
        StudyError: If the runs predicted different images or labels.
    """
    check_same_images(tables)
    columns = [probability_column(label) for label in tables[0].test.label_names]
    return np.stack([table.predictions[columns].to_numpy(dtype=np.float64) for table in tables])


def targets_of(table: RunTables) -> Floats:
    """Return the targets (N, K) of the images and labels that a run predicted: 1, 0, or NaN for not stated."""
    columns = [target_column(label) for label in table.test.label_names]
    return table.predictions[columns].to_numpy(dtype=np.float64)


def check_same_images(tables: Sequence[RunTables]) -> None:
    """Check that runs predicted the same images and labels.

    Raises:
        StudyError: If they did not.
    """
    first = tables[0]
    known = ["sample_id", *(target_column(label) for label in first.test.label_names)]
    for table in tables:
        has_labels = set(known) <= set(table.predictions.columns)
        if not has_labels or not table.predictions[known].equals(first.predictions[known]):
            raise StudyError(_different(first, table, "images or labels"))


def _different(first: RunTables, second: RunTables, what: str) -> str:
    return (
        f"Expected the same test {what} in {first.run.folder} and {second.run.folder} but they differ. Train all arms on "
        "the same data."
    )
