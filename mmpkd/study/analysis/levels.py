"""Mean scores of the arms of a comparison and of the best baseline map."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mmpkd.attribution import BASELINE_MAPS
from mmpkd.statistics.arrays import Floats
from mmpkd.statistics.estimands import Average, run_means
from mmpkd.study.analysis.pairing import Pairs
from mmpkd.study.analysis.run_tables import RunTables
from mmpkd.study.plan.questions import Measure
from mmpkd.study.plan.references import FINDING_MAPS


@dataclass(frozen=True)
class BaselineLevel:
    """The mean score of a baseline map.

    Attributes:
        name: Name of the map.
        value: Mean score of the map.
    """

    name: str
    value: float


@dataclass(frozen=True)
class Levels:
    """Mean scores over the regions of a comparison, averaged like the difference.

    Attributes:
        arm: Mean score of the arm.
        reference: Mean score of the reference.
        baseline: The best baseline map, or None if none was scored.
    """

    arm: float
    reference: float
    baseline: BaselineLevel | None


def run_levels(scores: Floats, pairs: Pairs, average: Average) -> Floats:
    """Return the mean score (S,) of each run over the regions whose difference is defined; NaN without a score.

    Args:
        scores: (S, N) scores of the runs.
        pairs: Pairs of regions of the two arms.
        average: What is averaged.
    """
    # the same regions in both arms, since otherwise their means could not be compared
    used = np.where(np.isnan(pairs.differences), np.nan, scores)
    return run_means(used, pairs.regions, average).values


def best_baseline_map(
    tables: Sequence[RunTables], measure: Measure, pairs: Pairs, average: Average
) -> BaselineLevel | None:
    """Return the best baseline map over the regions of a comparison, or None if none was scored.

    An attribution that is the same for all findings is compared only with baseline maps of that kind: the mean ROI of a finding
    would have an unfair advantage, since it knows the finding.

    Args:
        tables: Runs of one arm.
        measure: The score to compare.
        pairs: Pairs of regions of the two arms.
        average: What is averaged.
    """
    knows_finding = is_of_finding(tables[0], measure.attribution)
    levels = []
    for kind in BASELINE_MAPS:
        if kind.is_of_finding and not knows_finding:
            continue
        scores = pairs.values(tables, Measure(kind.name, measure.score, measure.unit), measure.score)
        levels.append(BaselineLevel(kind.name, float(run_levels(scores, pairs, average).mean())))
    # NaN where the runs did not score a map
    known = [level for level in levels if not np.isnan(level.value)]
    return max(known, key=lambda level: level.value) if known else None


def is_of_finding(tables: RunTables, attribution: str) -> bool:
    """Return whether an attribution has a map for each finding; such attributions are not in the table of unions."""
    # also finds a user's own: the table of unions lacks attributions with a map for each finding
    is_known = tables.unions is not None and attribution not in set(tables.unions["attribution"])
    return is_known or attribution in FINDING_MAPS
