"""Sums over the ROIs of a validation, from which mean ROIs are learned."""

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn import functional as F

from mmpkd.attribution import AttributionMethod, LearnedMap
from mmpkd.numerics.processes import all_gather


class MeanRoiSums:
    """Sums the ROIs of a validation over batches and processes."""

    def __init__(self) -> None:
        self._total: Tensor | None = None
        self._num_rois: Tensor | None = None

    def add(self, mask: Tensor, label: Tensor, grid: tuple[int, int], num_labels: int) -> None:
        """Add a batch.

        Args:
            mask: Bool (R, H, W).
            label: Int64 (R,), finding of each ROI.
            grid: Patches (rows, columns).
            num_labels: Number of labels K.
        """
        # summed in float64 on the CPU, because not every accelerator has it
        covered = F.adaptive_avg_pool2d(mask[:, None].float(), grid)[:, 0].cpu().double()  # (R, h, w)
        is_present = mask.flatten(1).any(1).cpu()
        if self._total is None or self._num_rois is None:
            self._total = torch.zeros(num_labels, *grid, dtype=torch.float64)
            self._num_rois = torch.zeros(num_labels, dtype=torch.int64)
        self._total.index_add_(0, label.cpu(), covered)
        self._num_rois.index_add_(0, label.cpu(), is_present.long())

    def finish(self, methods: Iterable[AttributionMethod]) -> None:
        """Let each `LearnedMap` learn from the sums of all processes, and reset the sums.

        If no ROI was added, the methods keep their means.
        """
        parts = [part for part in all_gather((self._total, self._num_rois)) if part[0] is not None]
        self._total = None
        self._num_rois = None
        if not parts:
            return
        total = sum(part[0] for part in parts)
        num_rois = sum(part[1] for part in parts)
        for method in methods:
            if isinstance(method, LearnedMap) and int(num_rois.sum()):
                method.learn(total, num_rois)
