"""Scores of a run's test split, each with an interval over patients, and the temperature that calibrates its probabilities."""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import logit

from mmpkd.attribution import BASELINE_MAPS
from mmpkd.export.source import ExportSource
from mmpkd.records.prediction_table import probability_column, target_column
from mmpkd.records.roi_table import score_columns
from mmpkd.records.tables import read_table
from mmpkd.statistics.auroc_bootstrap import weighted_auroc
from mmpkd.statistics.intervals import bca_interval
from mmpkd.statistics.resampling import (
    NUM_REPLICATES,
    Floats,
    SeedReplicates,
    as_codes,
    cluster_sums,
    patient_bootstrap,
    resampled_weights,
)
from mmpkd.teachers.calibration import calibration_temperature

# a probability of exactly 1 has no logit
_SMALLEST = 1e-7


@dataclass(frozen=True)
class Estimate:
    """A score with its 95 % interval over patients; NaN where it is not defined."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        if math.isnan(self.value):
            return "n/a"
        return f"{self.value:.3f}" if math.isnan(self.low) else f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


@dataclass(frozen=True)
class MapScores:
    """Localization scores of one kind of map.

    Attributes:
        name: Name of the map.
        is_baseline: Whether it does not depend on the student.
        num_rois: Number of (image, finding) pairs.
        scores: Score by name.
    """

    name: str
    is_baseline: bool
    num_rois: int
    scores: dict[str, Estimate]


def auroc_by_label(source: ExportSource) -> dict[str, Estimate]:
    """Return the AUROC on the test split by label, and their mean as `macro`; empty if the test is not recorded."""
    frame = _table(source, "predictions", "test")
    if frame is None:
        return {}
    names = source.trained.label_names
    patient = as_codes(frame["patient_id"].tolist())
    weights = resampled_weights(int(patient.max()) + 1, NUM_REPLICATES, 0)[:, patient]
    weights = np.concatenate([np.ones((1, len(patient))), weights])
    values = {name: _auroc(frame, name, weights) for name in names}
    scored = [value for value in values.values() if not np.isnan(value[0])]
    macro = np.mean(scored, axis=0) if scored else np.full(len(weights), np.nan)
    num_patients = len(np.unique(patient))
    return {name: _estimate(value, num_patients) for name, value in [*values.items(), ("macro", macro)]}


def localization(source: ExportSource) -> list[MapScores]:
    """Return the localization scores on the test split, baseline maps last; empty if there are none."""
    frame = _table(source, "rois", "test")
    if frame is None or frame.empty:
        return []
    baselines = {kind.name for kind in BASELINE_MAPS}
    maps = []
    for name, rows in frame.groupby("attribution"):
        patient = as_codes(rows["patient_id"].tolist())
        scores = {score: _mean(rows[score].to_numpy(np.float64), patient) for score in score_columns(frame)}
        maps.append(MapScores(str(name), str(name) in baselines, len(rows), scores))
    return sorted(maps, key=lambda one: (one.is_baseline, one.name))


def temperature(source: ExportSource) -> float | None:
    """Return the temperature T for which sigmoid(logit / T) fits the validation labels best.

    None if the predictions of validation are not those of this checkpoint: `mmpkd validate` writes them.
    """
    frame = _table(source, "predictions", "val")
    if frame is None:
        return None
    names = source.trained.label_names
    probability = np.stack([frame[probability_column(name)].to_numpy(np.float64) for name in names], axis=1)
    label = np.stack([frame[target_column(name)].to_numpy(np.float32) for name in names], axis=1)
    logits = logit(probability.clip(_SMALLEST, 1 - _SMALLEST)).astype(np.float32)
    return None if np.isnan(label).all() else calibration_temperature(logits, label)


def _table(source: ExportSource, kind: str, stage: str) -> pd.DataFrame | None:
    """Return a table of the run if the exported checkpoint made it."""
    if source.folder is None:
        return None
    path = source.folder.predictions(stage) if kind == "predictions" else source.folder.rois(stage)
    if not path.is_file():
        return None
    table = read_table(path)
    return table.frame if table.checkpoint == source.sha256 else None


def _auroc(frame: pd.DataFrame, name: str, weights: Floats) -> Floats:
    target = frame[target_column(name)].to_numpy(np.float64)
    stated = ~np.isnan(target)
    positive = target[stated] > 0.5
    if not positive.any() or positive.all():
        return np.full(len(weights), np.nan)
    return weighted_auroc(frame[probability_column(name)].to_numpy(np.float64)[stated], positive, weights[:, stated])


def _estimate(values: Floats, num_patients: int) -> Estimate:
    """Return an estimate from a value and its replicates; NaN replicates, which lack a class, are left out."""
    replicates = values[1:][~np.isnan(values[1:])]
    if np.isnan(values[0]) or num_patients < 2 or not replicates.size:
        return Estimate(float(values[0]), math.nan, math.nan)
    run = SeedReplicates(values[:1], replicates[:, None], np.empty((0, 1)), num_patients)
    interval = bca_interval(run)
    return Estimate(float(values[0]), interval.low, interval.high)


def _mean(values: Floats, patient: NDArray[np.int64]) -> Estimate:
    if np.isnan(values).all():
        return Estimate(math.nan, math.nan, math.nan)
    sums = cluster_sums(values[None], patient)
    run = patient_bootstrap(sums)
    mean = float(sums.seed_means[0])
    if run.num_patients < 2:
        return Estimate(mean, math.nan, math.nan)
    interval = bca_interval(run)
    return Estimate(mean, interval.low, interval.high)
