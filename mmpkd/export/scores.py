"""Scores on the test split of a run, with intervals over patients, and the temperature that calibrates its probabilities."""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import logit

from mmpkd.attribution import BASELINE_MAPS
from mmpkd.export.source import ExportSource
from mmpkd.records.prediction_table import probability_column, target_column
from mmpkd.records.roi_table import score_columns
from mmpkd.records.tables import read_table
from mmpkd.statistics.arrays import Floats, as_codes
from mmpkd.statistics.auroc import mean_auroc
from mmpkd.statistics.effects import Effect, effect_of
from mmpkd.statistics.estimands import Regions, run_means
from mmpkd.teachers.calibration import calibration_temperature, is_at_limit

# clips probabilities, since 0 and 1 have no finite logit
_SMALLEST = 1e-7


@dataclass(frozen=True)
class Estimate:
    """A score with its 95 % interval over patients; NaN where it is undefined."""

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
        name: Name of the map, as reports show it.
        is_baseline: Whether it is a baseline map.
        num_rois: Number of (image, finding) pairs.
        scores: Score by name.
    """

    name: str
    is_baseline: bool
    num_rois: int
    scores: dict[str, Estimate]


def auroc_by_label(source: ExportSource) -> dict[str, Estimate]:
    """Return the AUROC on the test split by label, and their mean as `macro`; empty if no test is recorded."""
    frame = _table(source, "predictions", "test")
    if frame is None:
        return {}
    names = source.trained.label_names
    patient = as_codes(frame["patient_id"].tolist())
    preds = _columns(frame, [probability_column(name) for name in names])[None]  # (1, N, K)
    target = _columns(frame, [target_column(name) for name in names])
    values = {name: mean_auroc(preds[..., [k]], target[:, [k]], patient) for k, name in enumerate(names)}
    values["macro"] = mean_auroc(preds, target, patient)
    return {name: _estimate(value) for name, value in values.items()}


def localization(source: ExportSource) -> list[MapScores]:
    """Return the localization scores on the test split, with baseline maps last; empty if there are none."""
    frame = _table(source, "rois", "test")
    if frame is None or frame.empty:
        return []
    titles = {kind.name: kind().title for kind in BASELINE_MAPS}
    maps = []
    for name, rows in frame.groupby("attribution"):
        regions = Regions(as_codes(rows["patient_id"].tolist()), as_codes(rows["finding"].tolist()))
        scores = {score: _mean(rows[score].to_numpy(np.float64), regions) for score in score_columns(frame)}
        title = titles.get(str(name), str(name).replace("_", " "))  # as in the report
        maps.append(MapScores(title, str(name) in titles, len(rows), scores))
    return sorted(maps, key=lambda one: (one.is_baseline, one.name))


def temperature(source: ExportSource) -> float | None:
    """Return the temperature T for which sigmoid(logit / T) fits the validation labels best.

    None if there are no validation predictions of this checkpoint, which `mmpkd validate` writes, or if the best temperature lies
    beyond the limits of the search.
    """
    frame = _table(source, "predictions", "val")
    if frame is None:
        return None
    names = source.trained.label_names
    probability = np.stack([frame[probability_column(name)].to_numpy(np.float64) for name in names], axis=1)
    label = np.stack([frame[target_column(name)].to_numpy(np.float32) for name in names], axis=1)
    logits = logit(probability.clip(_SMALLEST, 1 - _SMALLEST)).astype(np.float32)
    if np.isnan(label).all():
        return None
    found = calibration_temperature(logits, label)
    return None if is_at_limit(found) else found


def _table(source: ExportSource, kind: str, stage: str) -> pd.DataFrame | None:
    """Return a table of the run if the exported checkpoint made it, or None."""
    if source.folder is None:
        return None
    path = source.folder.predictions(stage) if kind == "predictions" else source.folder.rois(stage)
    if not path.is_file():
        return None
    table = read_table(path)
    # the table of an earlier checkpoint in the same folder says nothing about this student
    return table.frame if table.checkpoint == source.sha256 else None


def _columns(frame: pd.DataFrame, names: list[str]) -> Floats:
    return frame[names].to_numpy(dtype=np.float64)


def _mean(values: Floats, regions: Regions) -> Estimate:
    """Return the mean over patients of their mean over regions."""
    if np.isnan(values).all():
        return Estimate(math.nan, math.nan, math.nan)
    return _estimate(effect_of(run_means(values[None], regions, "patients")))


def _estimate(effect: Effect) -> Estimate:
    interval = effect.interval()
    return Estimate(effect.estimate, interval.low, interval.high)
