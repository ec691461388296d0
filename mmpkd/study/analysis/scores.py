"""Every score of every run of a study, with its number of samples and its chance level."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple, dataclass, fields
from functools import partial

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from mmpkd.metrics.classification import auroc, average_precision, expected_calibration_error
from mmpkd.records.roi_table import score_columns
from mmpkd.records.unit import UNITS, Unit
from mmpkd.statistics.arrays import Floats
from mmpkd.study.analysis.pairing import stacked_predictions, targets_of
from mmpkd.study.analysis.run_tables import RunTables

ALL = "all"
# chance levels; for the other scores, it is that of an all-ones map, which is the share of the image that the ROI takes
CHANCE = {"pixel_auroc": 0.5, "cnr": 0.0}


@dataclass(frozen=True)
class ScoreRow:
    """A score of a run.

    Attributes:
        test_set: Name of the other data set that the run was tested on, "" for the study's own.
        arm: Arm of the run.
        seed: Seed of the run.
        measure: Name of the score.
        attribution: Attribution whose localization is scored, "" for classification.
        unit: Unit of localization, `finding` or `image`; "" for classification.
        finding: Finding, or `all` for the mean.
        value: The score; NaN where it is undefined.
        num: Number of images or ROIs that were scored.
        num_undefined: Number of findings or ROIs without a score.
        chance: Chance level. AUROC and pixel AUROC: .5. AUPRC: the prevalence. ECE: none. CNR: 0. Other localization scores: the
            mean share of the image that the ROIs take, which is the score of the all-ones map.
    """

    test_set: str
    arm: str
    seed: int
    measure: str
    attribution: str
    unit: str
    finding: str
    value: float
    num: int
    num_undefined: int
    chance: float


def results_table(tables: Sequence[RunTables]) -> pd.DataFrame:
    """Return every score of every run, with one `ScoreRow` per row."""
    rows: list[ScoreRow] = []
    for table in tables:
        rows += _classification(table)
        rows += _localization(table)
    names = [field.name for field in fields(ScoreRow)]
    return pd.DataFrame([astuple(row) for row in rows], columns=names)


def _classification(table: RunTables) -> Iterator[ScoreRow]:
    # copy, because columns of a table may be read-only
    target = np.array(targets_of(table))
    preds = np.array(stacked_predictions([table])[0])
    stated = (~np.isnan(target)).sum(axis=0)
    # the average precision of random predictions is the prevalence
    prevalence = target.sum(axis=0, where=~np.isnan(target)) / np.maximum(stated, 1)
    yield from _scored(table, "auroc", auroc, preds, target, np.full(len(stated), 0.5))
    yield from _scored(table, "auprc", average_precision, preds, target, prevalence)
    yield from _scored(table, "ece", expected_calibration_error, preds, target, np.full(len(stated), np.nan))


def _scored(
    table: RunTables,
    measure: str,
    score: Callable[[Tensor, Tensor], Tensor],
    preds: Floats,
    target: Floats,
    chance: Floats,
) -> Iterator[ScoreRow]:
    """Yield the mean of a classification score over the findings for which it is defined, and then the score of each finding."""
    row = partial(ScoreRow, table.run.test_set, table.run.arm.name, table.run.seed, measure, "", "")
    values = score(torch.from_numpy(preds), torch.from_numpy(target)).numpy()
    defined = ~np.isnan(values)
    macro = float(np.nanmean(values)) if defined.any() else float("nan")
    # over the findings that the mean is over, so that the two can be compared
    level = float(chance[defined].mean()) if defined.any() else float("nan")
    yield row(ALL, macro, len(target), int((~defined).sum()), level)
    stated = (~np.isnan(target)).sum(axis=0)
    for column, finding in enumerate(table.test.label_names):
        yield row(finding, values[column], int(stated[column]), int(not defined[column]), float(chance[column]))


def _localization(table: RunTables) -> Iterator[ScoreRow]:
    for unit in UNITS:
        frame = table.localization(unit)
        if frame is None:
            continue
        for attribution, own in frame.groupby("attribution", sort=True):
            yield from _localization_of(table, str(attribution), unit, ALL, own)
            # the union of an image's regions is of no finding
            findings = own.groupby("finding", sort=True) if unit == "finding" else ()
            for finding, rows in findings:
                yield from _localization_of(table, str(attribution), unit, str(finding), rows)


def _localization_of(
    table: RunTables, attribution: str, unit: Unit, finding: str, rows: pd.DataFrame
) -> Iterator[ScoreRow]:
    row = partial(ScoreRow, table.run.test_set, table.run.arm.name, table.run.seed)
    for score in score_columns(rows):
        values = rows[score].to_numpy()
        is_defined = ~np.isnan(values)
        num = int(is_defined.sum())
        mean = float(np.nan_to_num(values).sum() / num) if num else float("nan")
        chance = CHANCE.get(score, rows["area"][is_defined].mean())
        yield row(score, attribution, unit, finding, mean, num, len(values) - num, chance)
