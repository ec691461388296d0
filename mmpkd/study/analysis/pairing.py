"""Values of several runs on the same images and regions, aligned."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mmpkd.records.prediction_table import probability_column, target_column
from mmpkd.records.roi_table import score_columns
from mmpkd.statistics.arrays import Floats, as_codes
from mmpkd.statistics.estimands import Regions
from mmpkd.study.analysis.run_tables import RunTables
from mmpkd.study.plan.errors import NotComparableError, StudyError
from mmpkd.study.plan.questions import Measure


@dataclass(frozen=True)
class Pairs:
    """Scores of two arms on the same regions, for the seeds that both have.

    Attributes:
        seeds: The S seeds.
        arm: (S, N) scores of the arm; NaN where the score of either arm is undefined.
        reference: (S, N) scores of the reference, likewise.
        index: (N,) sample_id, patient_id and finding.
    """

    seeds: tuple[int, ...]
    arm: Floats
    reference: Floats
    index: "pd.Index[Any]"

    @property
    def differences(self) -> Floats:
        """Scores (S, N) of the arm minus those of the reference."""
        return self.arm - self.reference

    @property
    def findings(self) -> list[str]:
        """Names of the findings, in the order of their codes."""
        return sorted(set(self.index.get_level_values("finding")))

    @property
    def regions(self) -> Regions:
        """Patient and finding of each region."""
        patient, finding = (self.index.get_level_values(name).tolist() for name in ("patient_id", "finding"))
        return Regions(as_codes(patient), as_codes(finding))

    def where(self, is_used: NDArray[np.bool_]) -> Self:
        """Return the pairs of the chosen regions, a bool mask (N,)."""
        return replace(self, arm=self.arm[:, is_used], reference=self.reference[:, is_used], index=self.index[is_used])

    def of(self, is_used: Sequence[bool]) -> Self:
        """Return the pairs of the chosen seeds, a bool for each of the S seeds."""
        rows = np.flatnonzero(is_used)
        seeds = tuple(self.seeds[row] for row in rows)
        return replace(self, seeds=seeds, arm=self.arm[rows], reference=self.reference[rows])

    def of_seeds(self, seeds: Collection[int]) -> Self:
        """Return the pairs of the given seeds."""
        return self.of([seed in seeds for seed in self.seeds])

    def values(self, tables: Sequence[RunTables], measure: Measure, column: str) -> Floats:
        """Return a column (S, N) of the localization tables of the runs with these seeds; NaN where it is missing."""
        by_seed = {table.run.seed: table for table in tables}
        rows = [_column(by_seed[seed], measure, column).reindex(self.index) for seed in self.seeds]
        return np.array([row.to_numpy(dtype=np.float64) for row in rows])


def pairs_of(arm: Sequence[RunTables], reference: Sequence[RunTables], measure: Measure) -> Pairs:
    """Return the scores of two arms on the same regions.

    Args:
        arm: Runs of the arm.
        reference: Runs of the reference.
        measure: The score to compare.

    Raises:
        NotComparableError: If the arms have no seed in common, or no such attribution or score.
        StudyError: If they were tested on different regions.
    """
    other = {table.run.seed: table for table in reference}
    common = [table for table in arm if table.run.seed in other]
    if not common:
        names = " and ".join(tables[0].run.arm.name for tables in (arm, reference) if tables)
        raise NotComparableError(f"Expected {names} to have a seed and regions in common but they have none.")
    first = roi_values(common[0], measure)
    scores = []
    for table in common:
        of_seed = table, other[table.run.seed]
        values = [roi_values(own, measure) for own in of_seed]
        for own, found in zip(of_seed, values, strict=True):
            if not found.index.equals(first.index):
                raise StudyError(_different(common[0], own, "regions"))
        scores.append([found.to_numpy(dtype=np.float64) for found in values])  # (2, N)
    both = np.array(scores)  # (S, 2, N)
    # a region counts only if both arms have a score, so that neither arm gains from undefined scores
    both[np.isnan(both).any(axis=1, keepdims=True).repeat(2, axis=1)] = np.nan
    return Pairs(tuple(table.run.seed for table in common), both[:, 0], both[:, 1], first.index)


def roi_values(tables: RunTables, measure: Measure) -> "pd.Series[float]":
    """Return a score of every region of a run, by sample_id, patient_id and finding.

    Raises:
        NotComparableError: If the run has no such attribution or score.
    """
    table = tables.localization(measure.unit)
    known = [] if table is None else sorted(table["attribution"].unique())
    scores = [] if table is None else score_columns(table)
    if measure.attribution not in known or measure.score not in scores:
        raise NotComparableError(
            f"Expected the attribution '{measure.attribution}' with the score '{measure.score}' in "
            f"{tables.localization_path(measure.unit)} but it has the attributions {known} and the scores {scores}."
        )
    return _column(tables, measure, measure.score)


def _column(tables: RunTables, measure: Measure, column: str) -> "pd.Series[float]":
    """Return a column of an attribution by region; empty if the run lacks it."""
    table = tables.localization(measure.unit)
    assert table is not None
    own = table[table["attribution"] == measure.attribution]
    # sorted, so that runs with the same regions have equal indices
    return own.set_index(["sample_id", "patient_id", "finding"])[column].sort_index()


def stacked_predictions(tables: Sequence[RunTables]) -> Floats:
    """Return the probabilities (S, N, K) that S runs predict for the N images and K labels of a test set.

    Raises:
        StudyError: If the runs predicted different images or labels.
    """
    check_same_images(tables)
    columns = [probability_column(label) for label in tables[0].test.label_names]
    return np.stack([table.predictions[columns].to_numpy(dtype=np.float64) for table in tables])


def targets_of(table: RunTables) -> Floats:
    """Return the targets (N, K) of the images and labels that a run predicted: 1, 0, or NaN if unknown."""
    columns = [target_column(label) for label in table.test.label_names]
    return table.predictions[columns].to_numpy(dtype=np.float64)


def check_same_images(tables: Sequence[RunTables]) -> None:
    """Check that runs predicted the same images and labels.

    Raises:
        StudyError: If they predicted different ones.
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
