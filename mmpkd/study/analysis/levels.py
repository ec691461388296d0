"""How good the arms of a comparison are in themselves, and how good a map is that knows nothing of the student."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mmpkd.attribution import BASELINE_MAPS
from mmpkd.statistics.resampling import Floats
from mmpkd.study.analysis.pairing import by_seed, paired
from mmpkd.study.analysis.run_tables import RunTables
from mmpkd.study.plan.study_plan import Measure

BASELINE_NAMES = tuple(kind.name for kind in BASELINE_MAPS)


@dataclass(frozen=True)
class BaselineLevel:
    """The score of a map that sees no student.

    Attributes:
        name: Name of the map.
        value: Its mean score.
    """

    name: str
    value: float


@dataclass(frozen=True)
class Levels:
    """Mean scores over the ROIs that a difference is made of.

    Attributes:
        arm: Score of the arm.
        reference: Score of its reference.
        baseline: The best baseline map, or None if none was scored.
    """

    arm: float
    reference: float
    baseline: BaselineLevel | None


def run_levels(tables: Sequence[RunTables], measure: Measure, differences: pd.DataFrame) -> Floats:
    """Return the mean score (S,) of each run over the ROIs that its difference is made of.

    Args:
        tables: The runs of an arm that are compared.
        measure: Attribution and score.
        differences: As from `paired_differences`, NaN where a score of the arm or the reference is undefined.

    Returns:
        Means; NaN for a run without such an attribution.
    """
    values = by_seed(paired(tables, measure.attribution, measure.score).reindex(differences.index))
    used = ~np.isnan(values) & ~np.isnan(by_seed(differences))
    count = used.sum(axis=1)
    return np.asarray(np.where(used, values, 0.0).sum(axis=1) / np.where(count > 0, count, np.nan))


def best_baseline_map(tables: Sequence[RunTables], score: str, differences: pd.DataFrame) -> BaselineLevel | None:
    """Return the best map that sees no student, scored over the ROIs of `run_levels`, or None if none was scored."""
    levels = [
        BaselineLevel(name, float(run_levels(tables, Measure(name, score), differences).mean()))
        for name in BASELINE_NAMES
    ]
    known = [level for level in levels if not np.isnan(level.value)]
    return max(known, key=lambda level: level.value) if known else None
