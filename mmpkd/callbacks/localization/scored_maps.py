"""The maps of a test, kept exactly as they were scored."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from lightning.pytorch import Trainer
from numpy.typing import NDArray
from torch import Tensor

from mmpkd.callbacks.tables import run_folder, tested_checkpoint
from mmpkd.metrics import HeatmapPairs, IoU, RoiMetric
from mmpkd.numerics.processes import gather
from mmpkd.records.map_file import MapFile, write_maps
from mmpkd.records.roi_table import PAIR
from mmpkd.records.unit import Unit

Columns = Mapping[str, Tensor | Sequence[str]]


class ScoredMaps:
    """Collects maps over batches and processes; tensors stay on their device until they are written."""

    def __init__(self) -> None:
        self._pairs: list[tuple[str, str]] = []
        self._maps: dict[str, list[Tensor]] = {}
        self._frame = (0, 0)

    def add(self, name: str, pairs: HeatmapPairs, known: Columns) -> None:
        """Add the maps of one attribution for a batch. Every batch must add the same attributions in the same order.

        Args:
            name: Name of the attribution.
            pairs: Maps of the attribution, and the ROIs; those of the R pairs come first.
            known: Columns of the R pairs, with `sample_id` and `finding`.
        """
        samples, findings = (list(map(str, known[column])) for column in PAIR)
        # every attribution has the same pairs, so the first one adds them for all
        if name == next(iter(self._maps), name):
            self._pairs += zip(samples, findings, strict=True)
            self._frame = pairs.rois.size
        # a map with values that are not finite was not scored; NaN distinguishes it from a map of zeros
        is_broken = torch.zeros(len(pairs.heatmap), dtype=torch.bool, device=pairs.heatmap.device)
        is_broken[pairs.image[pairs.undefined & ~pairs.rois.empty]] = True
        maps = pairs.heatmap.masked_fill(is_broken[:, None, None], torch.nan)
        # without unions, which follow the pairs
        self._maps.setdefault(name, []).append(pairs.per_roi(maps)[: len(samples)])

    def write(self, trainer: Trainer, stage: str, scores: Mapping[Unit, Sequence[RoiMetric]]) -> None:
        """Write the maps of all processes in the first process, and start again without maps.

        This is a collective operation: every process must call it, and only at the end of a test.

        Args:
            trainer: The trainer.
            stage: `test`; other stages add no maps.
            scores: Scores of the maps by unit.
        """
        own = self._pairs, {name: _stacked(parts) for name, parts in self._maps.items()}, self._frame
        parts = gather(own)
        self._pairs = []
        self._maps = {}
        gathered = [part for part in parts or () if part[0]]
        if not gathered:
            return
        pairs = pd.DataFrame([pair for part in gathered for pair in part[0]], columns=list(PAIR))
        # like the table: sorted, without the duplicates of samplers that give a sample to two processes
        order = pairs.drop_duplicates().sort_values(list(PAIR), kind="stable").index.to_numpy()
        maps = {}
        for name in gathered[0][1]:
            maps[name] = np.concatenate([part[1][name] for part in gathered])[order]
        samples, findings = (tuple(pairs.loc[order, column]) for column in PAIR)
        areas = {unit: _top_area(own) for unit, own in scores.items()}
        known = {unit: area for unit, area in areas.items() if area is not None}
        content = MapFile(samples, findings, maps, gathered[0][2], known, tested_checkpoint(trainer))
        write_maps(content, run_folder(trainer).scored_maps(stage))


def _stacked(parts: Sequence[Tensor]) -> NDArray[np.float32]:
    stacked: NDArray[np.float32] = torch.cat(list(parts)).cpu().numpy()
    return stacked


def _top_area(scores: Sequence[RoiMetric]) -> float | None:
    """Return the share of the frame that `iou_top_area` selects."""
    return next((score.area for score in scores if isinstance(score, IoU) and score.threshold == "top_area"), None)
