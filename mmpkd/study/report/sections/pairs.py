"""Pairs of arms that a study compares, with the runs of their common seeds."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mmpkd.study.analysis.run_tables import RunTables
from mmpkd.study.plan.domains import Domain
from mmpkd.study.plan.questions import Comparison
from mmpkd.study.plan.study_plan import StudyPlan


@dataclass(frozen=True)
class Pair:
    """Two arms that are compared.

    Attributes:
        arm: Name of the arm that the question is about.
        reference: Name of the arm that it is compared with.
        arm_runs: Runs of the arm, for the seeds that both arms have.
        reference_runs: Runs of the reference, in the same order.
    """

    arm: str
    reference: str
    arm_runs: tuple[RunTables, ...]
    reference_runs: tuple[RunTables, ...]

    @property
    def label(self) -> str:
        """The difference in words, `<arm> minus <reference>`."""
        return f"{self.arm} minus {self.reference}"

    @property
    def name(self) -> str:
        """The pair as part of a file name."""
        return f"{self.arm}_{self.reference}"

    @property
    def num_seeds(self) -> int:
        """Number of runs of each arm."""
        return len(self.arm_runs)


def declared_pairs(plan: StudyPlan, domain: Domain, tables: Sequence[RunTables]) -> Iterator[Pair]:
    """Yield the declared pairs of arms of a domain, starting with those of the endpoint.

    Args:
        plan: The study.
        domain: The domain.
        tables: Finished runs on one test set.
    """
    names = {arm.name for arm in domain.students}
    declared = [(own.arm, own.reference) for own in _comparisons(plan)]
    for arm, reference in dict.fromkeys(declared):
        if {arm, reference} <= names:
            own = {table.run.seed: table for table in tables if table.run.arm.name == arm}
            other = {table.run.seed: table for table in tables if table.run.arm.name == reference}
            seeds = [seed for seed in own if seed in other]
            if seeds:
                yield Pair(arm, reference, tuple(own[seed] for seed in seeds), tuple(other[seed] for seed in seeds))


def _comparisons(plan: StudyPlan) -> list[Comparison]:
    endpoint = [] if plan.primary is None else [plan.primary]
    behind = [] if plan.factorial is None else list(plan.factorial.comparisons)
    return [*endpoint, *behind, *plan.family]
