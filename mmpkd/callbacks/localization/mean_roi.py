"""The mean ROI of each finding in validation: a control that knows where findings usually lie."""

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn import functional as F

from mmpkd.attribution import AttributionMethod, MeanRoi
from mmpkd.callbacks.tables import all_gather


class MeanRoiSums:
    """Adds up the ROIs of a validation, over batches and processes."""

    def __init__(self) -> None:
        self._total: Tensor | None = None
        self._count: Tensor | None = None

    def add(self, mask: Tensor, label: Tensor, grid: tuple[int, int], num_labels: int) -> None:
        """Add a batch.

        Args:
            mask: Bool (R, H, W).
            label: Int64 (R,), finding of each ROI.
            grid: Patches (rows, columns).
            num_labels: Number of labels K.
        """
        covered = F.adaptive_avg_pool2d(mask[:, None].float(), grid)[:, 0].cpu().double()
        present = mask.flatten(1).any(1).cpu()
        if self._total is None or self._count is None:
            self._total = torch.zeros(num_labels, *grid, dtype=torch.float64)
            self._count = torch.zeros(num_labels, dtype=torch.int64)
        self._total.index_add_(0, label.cpu(), covered)
        self._count.index_add_(0, label.cpu(), present.long())

    def finish(self, methods: Iterable[AttributionMethod]) -> None:
        """Hand the means to the methods that show them, and start anew; they keep what they know if nothing was added."""
        parts = [part for part in all_gather((self._total, self._count)) if part[0] is not None]
        self._total = self._count = None
        if not parts:
            return
        total, count = sum(part[0] for part in parts), sum(part[1] for part in parts)
        for method in methods:
            if isinstance(method, MeanRoi) and int(count.sum()):
                method.learn(total, count)
