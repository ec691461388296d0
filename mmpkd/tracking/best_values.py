"""The best value of each score in a run, also over its interruptions."""

import math
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path

from mmpkd.tracking.metrics_file import read_metrics

# What the table of runs shows the best value of; of all other keys it shows the last one. The best value of a localization
# score would be a choice by the very thing that is measured.
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
    """Keeps the best value of classification scores and losses.

    W&B computes summaries too, but forgets the part of a run before an interruption.

    Args:
        metrics: `metrics.csv` of the run, which holds what it logged before; it need not exist.
    """

    def __init__(self, metrics: Path) -> None:
        self._metrics = metrics
        self._best: dict[str, float] | None = None

    def update(self, metrics: Mapping[str, object]) -> dict[str, float]:
        """Take values in.

        Args:
            metrics: What is logged, by name.

        Returns:
            The best values of those of the names that have one. NaN is no value.
        """
        known = {name: value for name, value in metrics.items() if _better(name) and isinstance(value, int | float)}
        if not known:
            return {}
        if self._best is None:
            self._best = {}
            for name, value in read_metrics(self._metrics):
                self._add(name, value)
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
