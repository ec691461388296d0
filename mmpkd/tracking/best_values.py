"""The best value of each score in a run, including the parts before an interruption."""

import math
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path

from mmpkd.tracking.metrics_file import read_metrics

# metrics for which W&B's table of runs shows the best value instead of the last one. Localization scores are not among them:
# their best value would be selected by the quantity that the study measures
_BETTER: dict[str, Callable[[float, float], float]] = {
    "val/auroc*": max,
    "val/auprc*": max,
    "val/f1*": max,
    "val/ece*": min,
    "train/loss": min,
    "train/task": min,
    "train/distillation": min,
}


class BestValues:
    """Tracks the best values of classification scores and losses.

    W&B can compute such summaries itself, but only over the part of a run since its last interruption.

    Args:
        metrics: `metrics.csv` of the run, with the values logged so far; it may not exist yet.
    """

    def __init__(self, metrics: Path) -> None:
        self._metrics = metrics
        self._best: dict[str, float] | None = None

    def update(self, metrics: Mapping[str, object]) -> dict[str, float]:
        """Add new values.

        Args:
            metrics: Logged values by name; NaN is ignored.

        Returns:
            The best values so far of the given metrics, if they are tracked.
        """
        known = {name: value for name, value in metrics.items() if _better(name) and isinstance(value, int | float)}
        if not known:
            return {}
        if self._best is None:
            # read only now: when a run resumes, the rows of repeated steps are removed before the first value is logged
            self._best = {}
            for row in read_metrics(self._metrics):
                self._add(row.name, row.value)
        for name, value in known.items():
            self._add(name, float(value))
        return {name: self._best[name] for name in known if name in self._best}

    def _add(self, name: str, value: float) -> None:
        assert self._best is not None
        better = _better(name)
        if better is not None and not math.isnan(value):
            self._best[name] = better(self._best.get(name, value), value)


def _better(name: str) -> Callable[[float, float], float] | None:
    return next((better for pattern, better in _BETTER.items() if fnmatchcase(name, pattern)), None)
