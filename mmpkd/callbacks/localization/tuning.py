"""IoU thresholds that are tuned for each finding on the validation split and used in test."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from mmpkd.numerics.processes import all_gather

# key of the threshold over all findings
POOLED = ""
# stands for a threshold that was not learned
UNTUNED = -1


class ThresholdTuning:
    """Finds the 8-bit threshold with the best mean IoU in validation, for each attribution and finding.

    A finding without an ROI in validation gets the best threshold over all findings.

    Attributes:
        thresholds: Threshold in [0, 254] by attribution and finding; the key of the one over all findings is "".
    """

    def __init__(self) -> None:
        self.thresholds: dict[str, dict[str, int]] = {}
        self._sums: dict[str, dict[str, Tensor]] = {}

    def add(self, attribution: str, findings: Sequence[str], curves: Tensor) -> None:
        """Add the ROIs of a validation batch.

        Args:
            attribution: Name of the attribution.
            findings: Finding of each ROI.
            curves: Float (R, 255), IoU of each ROI at every threshold; NaN for ROIs to leave out.
        """
        curves = curves.cpu().double()
        own = self._sums.setdefault(attribution, {})
        for finding, curve, is_undefined in zip(findings, curves, curves.isnan().any(1).tolist(), strict=True):
            if not is_undefined:
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

    def thresholds_of(self, attribution: str, findings: Sequence[str]) -> list[int]:
        """Return the threshold of each ROI, or `UNTUNED` if the attribution has none.

        Args:
            attribution: Name of the attribution.
            findings: Finding of each ROI.
        """
        tuned: Mapping[str, int] = self.thresholds.get(attribution, {})
        pooled = tuned.get(POOLED, UNTUNED)
        return [tuned.get(finding, pooled) for finding in findings]


def _middle_of_best(total: Tensor) -> int:
    """Return the threshold with the largest sum of IoU, or the middle one if several tie."""
    # thresholds between two levels of a map tie: they select the same pixels
    best = (total == total.max()).nonzero()[:, 0]
    return int(best[len(best) // 2])
