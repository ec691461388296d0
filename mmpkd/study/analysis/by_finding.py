"""A difference between two arms by finding, and whether it varies between findings."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from mmpkd.statistics.estimands import region_cells
from mmpkd.statistics.heterogeneity import heterogeneity
from mmpkd.study.analysis.difference import Difference, difference
from mmpkd.study.analysis.pairing import Pairs, pairs_of
from mmpkd.study.analysis.run_tables import RunTables
from mmpkd.study.plan.questions import Comparison


@dataclass(frozen=True)
class Deviating:
    """A finding whose difference deviates from the mean over findings.

    Attributes:
        finding: Name of the finding.
        is_higher: Whether its difference is above the mean.
    """

    finding: str
    is_higher: bool


@dataclass(frozen=True)
class ByFinding:
    """A difference by finding, always with each finding scored separately and the mean over patients.

    Attributes:
        differences: The difference for each finding; empty if there is only one finding.
        p_value: p-value of the hypothesis that all are equal; NaN where it cannot be tested.
        differing: Findings whose difference deviates from the mean over findings.
    """

    differences: tuple[Difference, ...]
    p_value: float
    differing: tuple[Deviating, ...]


def by_finding(
    declared: Comparison, arm: Sequence[RunTables], reference: Sequence[RunTables], pairs: Pairs
) -> ByFinding:
    """Return the difference by finding, even if the comparison scores all regions of an image together.

    Args:
        declared: The declared comparison.
        arm: Runs of the arm.
        reference: Runs of the reference.
        pairs: Pairs of the comparison, with the seeds to use.
    """
    found = pairs if declared.unit == "finding" else _of_findings(declared, arm, reference, pairs.seeds)
    names = [] if found is None else found.findings
    if found is None or len(names) < 2 or not found.seeds:
        return ByFinding((), float("nan"), ())
    regions = found.regions
    differences = []
    # codes are positions among the sorted names
    for code, name in enumerate(names):
        chosen = regions.finding == code
        own = replace(regions, patient=regions.patient[chosen], finding=regions.finding[chosen])
        differences.append(difference(name, found.differences[:, chosen], own, "patients"))
    tested = heterogeneity(region_cells(found.differences, regions, "findings"))
    differing = [Deviating(names[own.finding], own.effect.estimate > 0) for own in tested.differing]
    return ByFinding(tuple(differences), tested.p_value, tuple(differing))


def _of_findings(
    declared: Comparison, arm: Sequence[RunTables], reference: Sequence[RunTables], seeds: Sequence[int]
) -> Pairs | None:
    """Return the pairs of regions by finding for a comparison by image; None if the runs have no such table."""
    if any(table.rois is None for table in (*arm, *reference)):
        return None
    found = pairs_of(arm, reference, replace(declared.measure, unit="finding"))
    return found.of_seeds(seeds)
