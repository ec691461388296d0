"""Scores of one attribution in a batch, for regions and for unions of regions from the same heatmaps."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mmpkd.attribution import AttentionMethod, AttributionMethod, prefix_mass
from mmpkd.callbacks.localization.pair_columns import Columns
from mmpkd.callbacks.localization.score_table import ScoreTable
from mmpkd.callbacks.localization.tuning import UNTUNED
from mmpkd.metrics import HeatmapPairs, RoiMetric
from mmpkd.metrics.iou import iou_above_byte, iou_above_bytes

# name of the column with the IoU at the tuned thresholds
TUNED = "iou_val"


@dataclass(frozen=True)
class Part:
    """ROIs of a batch that belong to one table.

    Attributes:
        table: Table of the part.
        scores: Scores with different names.
        known: Columns that do not depend on the attribution.
        rows: Int64 (n,), indices of the ROIs of the part.
    """

    table: ScoreTable
    scores: Sequence[RoiMetric]
    known: Columns
    rows: Tensor

    @property
    def findings(self) -> list[str]:
        """Findings of the n ROIs."""
        return [str(name) for name in self.known["finding"]]


def score_parts(method: AttributionMethod, pairs: HeatmapPairs, parts: Sequence[Part], stage: str) -> None:
    """Add the scores of an attribution to the tables, and learn thresholds in validation.

    Args:
        method: The attribution.
        pairs: Heatmaps of the attribution, and the ROIs of all parts.
        parts: Parts to score; an ROI may be in several.
        stage: `val` or `test`.
    """
    # compute a score only once if both tables have it
    scores = {id(score): score for part in parts for score in part.scores}
    values = {key: score.score(pairs) for key, score in scores.items()}
    shared = _diagnostics(method, pairs)
    if stage == "val":
        curves = iou_above_bytes(pairs)
    for part in parts:
        columns: Columns = {score.name: values[id(score)][part.rows] for score in part.scores}
        if stage == "val":
            part.table.tuning.add(method.name, part.findings, curves[part.rows])
        else:
            columns[TUNED] = _at_tuned_thresholds(method.name, pairs, part)
        columns |= {name: value[part.rows] for name, value in shared.items()}
        part.table.add_scores(method.name, part.known, columns)


def _diagnostics(method: AttributionMethod, pairs: HeatmapPairs) -> dict[str, Tensor]:
    lost = torch.full_like(pairs.rois.area, torch.nan)
    if isinstance(method, AttentionMethod):
        lost = pairs.per_roi(prefix_mass(pairs.heatmap))
    return {"prefix_mass": lost, "constant": pairs.per_roi(pairs.constant), "undefined": pairs.undefined}


def _at_tuned_thresholds(attribution: str, pairs: HeatmapPairs, part: Part) -> Tensor:
    """Return the IoU of each ROI of a part at the tuned threshold of its unit, float32 (n,); NaN without such a threshold."""
    chosen = torch.tensor(part.table.tuning.thresholds_of(attribution, part.findings), dtype=torch.int64)
    chosen = chosen.to(part.rows.device)
    # scores are computed for all ROIs of the batch; those outside the part are dropped afterwards
    threshold = torch.zeros(len(pairs.rois), dtype=torch.int64, device=chosen.device).index_copy(0, part.rows, chosen)
    return iou_above_byte(pairs, threshold)[part.rows].masked_fill(chosen == UNTUNED, torch.nan)
