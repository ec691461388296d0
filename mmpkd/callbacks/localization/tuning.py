"""IoU thresholds that are tuned by finding on the validation split and used in test."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from mmpkd.callbacks.tables import all_gather
from mmpkd.metrics import HeatmapPairs
from mmpkd.metrics.iou import iou_above_byte, iou_above_bytes

# key of the threshold over all findings
POOLED = ""


class ThresholdTuning:
    """Finds the 8-bit threshold with the best mean IoU in validation, for each attribution and finding.

    A finding without an ROI in validation gets the threshold that is best over all findings.

    Attributes:
        thresholds: Threshold in [0, 254] by attribution and finding; the one over all findings has an empty name.
    """

    def __init__(self) -> None:
        self.thresholds: dict[str, dict[str, int]] = {}
        self._sums: dict[str, dict[str, Tensor]] = {}

    def add(self, attribution: str, findings: Sequence[str], pairs: HeatmapPairs) -> None:
        """Add the ROIs of a validation batch.

        Args:
            attribution: Name of the attribution.
            findings: Finding of each ROI.
            pairs: Heatmaps of the attribution, and the ROIs.
        """
        curves = iou_above_bytes(pairs).cpu().double()  # (R, 255)
        own = self._sums.setdefault(attribution, {})
        for finding, curve, undefined in zip(findings, curves, pairs.undefined.tolist(), strict=True):
            if not undefined:
                for name in (finding, POOLED):
                    own[name] = own.get(name, torch.zeros_like(curve)) + curve

    def finish(self) -> None:
        """Choose the thresholds from the sums of all processes, and reset the sums.

        An attribution keeps its thresholds if no ROI was added for it.
        """
        gathered: dict[str, dict[str, Tensor]] = {}
        for sums in all_gather(self._sums):
            for attribution, by_finding in sums.items():
                own = gathered.setdefault(attribution, {})
                for finding, total in by_finding.items():
                    own[finding] = own.get(finding, torch.zeros_like(total)) + total
        self._sums = {}
        for attribution, totals in gathered.items():
            self.thresholds[attribution] = {finding: _middle_of_best(total) for finding, total in totals.items()}

    def score(self, attribution: str, findings: Sequence[str], pairs: HeatmapPairs) -> Tensor:
        """Return the IoU of each ROI at its tuned threshold, float32 (R,); NaN if the attribution has no tuned thresholds."""
        tuned: Mapping[str, int] = self.thresholds.get(attribution, {})
        if POOLED not in tuned:
            return torch.full_like(pairs.rois.area, torch.nan)
        chosen = [tuned.get(finding, tuned[POOLED]) for finding in findings]
        return iou_above_byte(pairs, torch.tensor(chosen, dtype=torch.int64, device=pairs.rois.mask.device))


def _middle_of_best(total: Tensor) -> int:
    """Return the threshold with the largest sum of IoU; of several, the one in the middle."""
    # between two levels of a map, the IoU does not change with the threshold
    best = (total == total.max()).nonzero()[:, 0]
    return int(best[len(best) // 2])
