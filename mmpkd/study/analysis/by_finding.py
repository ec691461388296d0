"""A difference between two arms by finding, and whether it differs between findings."""

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
    """A finding whose difference is not that of the others.

    Attributes:
        finding: Its name.
        is_higher: Whether its difference is above the mean over findings.
    """

    finding: str
    is_higher: bool


@dataclass(frozen=True)
class ByFinding:
    """A difference by finding: each region against the map, the mean over patients.

    Attributes:
        differences: One for each finding; none if there is a single one.
        p_value: p-value that they are all the same; NaN where it cannot be told.
        differing: The findings that are told apart from the mean over findings.
    """

    differences: tuple[Difference, ...]
    p_value: float
    differing: tuple[Deviating, ...]


def by_finding(
    declared: Comparison, arm: Sequence[RunTables], reference: Sequence[RunTables], pairs: Pairs
) -> ByFinding:
    """Return the difference by finding, also of a comparison of all regions of an image together.

    Args:
        declared: The comparison.
        arm: Runs of the arm.
        reference: Runs of the reference.
        pairs: Its pairs; the seeds that are used.
    """
    found = pairs if declared.unit == "finding" else _of_findings(declared, arm, reference, pairs.seeds)
    names = [] if found is None else found.findings
    if found is None or len(names) < 2 or not found.seeds:
        return ByFinding((), float("nan"), ())
    regions = found.regions
    differences = []
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
    """Return the pairs of regions of one finding behind a comparison of images; None if no such table was written."""
    if any(table.rois is None for table in (*arm, *reference)):
        return None
    found = pairs_of(arm, reference, replace(declared.measure, unit="finding"))
    return found.of_seeds(seeds)
