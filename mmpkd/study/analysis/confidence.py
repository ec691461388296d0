"""Confidence of the runs in the findings whose regions are compared, in units that do not depend on calibration."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from mmpkd.records.prediction_table import probability_column, target_column
from mmpkd.statistics.arrays import Floats
from mmpkd.statistics.recognition import standardised
from mmpkd.study.analysis.run_tables import RunTables

MAX_LOGIT = 10.0


def confidence_in(tables: Sequence[RunTables], index: "pd.Index[Any]") -> Floats:
    """Return the confidence of each run in the finding of each region, standardised by its negatives of that finding.

    Args:
        tables: S runs on one test set.
        index: (N,) sample_id, patient_id and finding of the regions. If a row is for all regions of an image, its confidence is
            the mean over the findings of the image.

    Returns:
        (S, N); NaN where a run does not predict the finding, or has too few negatives of it.
    """
    return np.array([_of_run(table, index) for table in tables])


def _of_run(table: RunTables, index: "pd.Index[Any]") -> Floats:
    scores = _by_region(table)
    sample, finding = (index.get_level_values(name) for name in ("sample_id", "finding"))
    if set(finding) <= set(table.test.label_names):
        found = scores.reindex(pd.MultiIndex.from_arrays([sample, finding]))
    else:  # the rows are for all regions of an image together
        found = scores.groupby(level="sample_id").mean().reindex(sample)
    return np.asarray(found, dtype=np.float64)


def _by_region(table: RunTables) -> "pd.Series[float]":
    """Return the confidence for each region of the test split, by sample and finding."""
    assert table.rois is not None
    # the table has a row for each attribution, on which confidence does not depend
    regions = table.rois.drop_duplicates(["sample_id", "finding"]).set_index("sample_id")["finding"]
    parts = {label: _of_label(table, label) for label in table.test.label_names}
    values = pd.concat(parts, names=["finding", "sample_id"]).swaplevel()
    return values.reindex(pd.MultiIndex.from_arrays([regions.index, regions], names=["sample_id", "finding"]))


def _of_label(table: RunTables, label: str) -> "pd.Series[float]":
    """Return the confidence in a label on every test image, by sample."""
    frame = table.predictions
    logit = logits(frame[probability_column(label)].to_numpy(dtype=np.float64))
    # NaN < 0.5 is false, so an unknown label is no negative
    is_negative = frame[target_column(label)].to_numpy(dtype=np.float64) < 0.5
    return pd.Series(standardised(logit, logit[is_negative]), index=pd.Index(frame["sample_id"], name="sample_id"))


def logits(probability: Floats) -> Floats:
    """Return log-odds clipped to ± 10, since a probability of 1 - 1e-8 does not mean more confidence than one of 1 - 1e-5."""
    return np.asarray(np.clip(stats.logistic.ppf(np.clip(probability, 1e-12, 1 - 1e-12)), -MAX_LOGIT, MAX_LOGIT))
