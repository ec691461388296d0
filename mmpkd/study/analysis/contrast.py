"""Whether an effect depends on the domain, on the form of the privileged information, or on their combination.

There are four differences between arms: two domains x two forms. The domains share neither patients nor runs; the two forms of a
domain share both, so they are compared in pairs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mmpkd.statistics.effects import MIN_SEEDS, Effect, independent_sum
from mmpkd.statistics.hypotheses import MIN_SEEDS_OF_A_CLAIM, Verdict, verdict
from mmpkd.study.analysis.comparison import Compared, Limit
from mmpkd.study.analysis.difference import difference
from mmpkd.study.analysis.pairing import pairs_of
from mmpkd.study.analysis.progress import ALPHA, Progress, SeedCount
from mmpkd.study.analysis.run_tables import RunTables, seeds_of
from mmpkd.study.plan.errors import NotComparableError
from mmpkd.study.plan.questions import Factorial


@dataclass(frozen=True)
class FactorialEffects:
    """Effects of a 2 x 2 design.

    Attributes:
        domain: Mean effect in the first domain minus that in the second.
        form: Mean effect of the first form minus that of the second.
        interaction: First form minus second form in the first domain, minus the same in the second domain.
    """

    domain: Effect
    form: Effect
    interaction: Effect


@dataclass(frozen=True)
class Contrasted:
    """The result of a factorial design.

    Attributes:
        declared: The declared design.
        effects: Main effects and interaction. The declared one is the endpoint; the others are exploratory.
        num_seeds: Number of seeds whose runs localize in all arms of a domain, in the domain with the fewest.
        count: Planned, finished, failed and missing runs.
        num_collapsed: Number of seeds left out, over both domains, because a run does not localize.
        num_patients: Number of patients in both domains.
        adjusted: p-value after correction for the other declared questions, or None if there are no others.
    """

    declared: Factorial
    effects: FactorialEffects
    num_seeds: int
    count: SeedCount
    num_collapsed: int
    num_patients: int
    adjusted: float | None = None

    @property
    def domains(self) -> tuple[str, str]:
        """Names of the two domains."""
        first, second = self.declared.domains
        return first, second

    @property
    def effect(self) -> Effect:
        """The declared contrast."""
        effect: Effect = getattr(self.effects, self.declared.contrast)
        return effect

    @property
    def limit(self) -> Limit | None:
        """Why no claim may be made, or None if one may."""
        if self.count.level is None:
            return "interim"
        if self.num_seeds < MIN_SEEDS_OF_A_CLAIM:
            return "few_localize" if self.num_collapsed else "two_seeds"
        return None

    @property
    def p_value(self) -> float:
        """p-value of the hypothesis of no contrast; NaN if no claim may be made."""
        return float("nan") if self.limit is not None else self.effect.p_value()

    @property
    def verdict(self) -> Verdict:
        """Verdict at the level of the study, after correction for its other questions."""
        if self.limit is not None:
            return "no claim"
        level = self.count.level or ALPHA
        # few seeds, or only those that localize, cannot show that there is no difference
        is_asked = self.num_seeds >= MIN_SEEDS and not self.num_collapsed
        found = verdict(self.effect, self.declared.margin if is_asked else None, level)
        # `adjusted` is about differences, so it cannot take an equivalence back
        return found if self.adjusted is None or self.adjusted < level or found == "equivalent" else "not shown"


def contrast(
    declared: Factorial, tables: Mapping[str, Sequence[RunTables]], behind: Sequence[Compared], progress: Progress
) -> Contrasted:
    """Compute a contrast from the finished runs of all arms, with the seeds that localize in all arms of a domain.

    Args:
        declared: The declared design.
        tables: Finished runs by arm.
        behind: The comparisons that it is computed from, domain by domain.
        progress: Planned seeds and failed runs.

    Raises:
        NotComparableError: If the arms of a domain share fewer than two seeds, if the domains share patients, or if there is no
            such attribution.
    """
    collapsed = {own.declared.arm: _collapsed_seeds(own) for own in behind}
    found = [_in_domain(declared, name, tables, collapsed) for name in declared.domains]
    # variances of the domains are added, which holds only for different patients
    shared = found[0].patients & found[1].patients
    if shared:
        raise NotComparableError(f"Expected domains with different patients but {len(shared)} are in both.")
    effects = factorial_effects([own.mean for own in found], [own.form for own in found])
    count = progress.count({name: seeds_of(own) for name, own in tables.items()})
    num_collapsed = sum(own.num_collapsed for own in found)
    num_patients = sum(len(own.patients) for own in found)
    return Contrasted(declared, effects, min(own.num_seeds for own in found), count, num_collapsed, num_patients)


def _collapsed_seeds(found: Compared) -> set[int]:
    pairs = zip(found.seeds, found.collapse.localizing, strict=True)
    return {seed for seed, localizes in pairs if not localizes}


@dataclass(frozen=True)
class _InDomain:
    """The part of a contrast that comes from one domain.

    Attributes:
        mean: Mean over both forms of the difference from the reference.
        form: First form minus second form.
        num_seeds: Number of seeds that all arms of the domain have, and whose runs all localize.
        num_collapsed: Number of seeds left out because a run does not localize.
        patients: Patients of the domain.
    """

    mean: Effect
    form: Effect
    num_seeds: int
    num_collapsed: int
    patients: frozenset[str]


def _in_domain(
    declared: Factorial, name: str, tables: Mapping[str, Sequence[RunTables]], collapsed: Mapping[str, set[int]]
) -> _InDomain:
    first, second = (declared.comparison(name, form) for form in declared.forms)
    # the forms are also compared directly: the reference cancels out, and its noise with it
    pairs = ((first.arm, first.reference), (second.arm, second.reference), (first.arm, second.arm))
    found = [pairs_of(tables[arm], tables[other], declared.measure) for arm, other in pairs]
    # all arms of a domain must have the same seeds: the forms are compared seed by seed
    common = set(found[0].seeds).intersection(found[1].seeds, found[2].seeds)
    seeds = common - collapsed[first.arm] - collapsed[second.arm]
    if len(seeds) < 2:
        raise NotComparableError(
            f"Expected two seeds that all arms of {name} have finished, and that localize, but got {len(seeds)}."
        )
    # rows and columns agree among the three: `pairs_of` refuses runs that were tested on other regions
    one, other, between = (own.of_seeds(seeds) for own in found)
    regions = one.regions
    both = (one.differences + other.differences) / 2  # (S, N)
    return _InDomain(
        mean=difference(name, both, regions, declared.average).effect,
        form=difference(name, between.differences, regions, declared.average).effect,
        num_seeds=len(seeds),
        num_collapsed=len(common) - len(seeds),
        patients=frozenset(one.index.get_level_values("patient_id")),
    )


def factorial_effects(means: Sequence[Effect], forms: Sequence[Effect]) -> FactorialEffects:
    """Return main effects and interaction.

    Args:
        means: For each domain, the mean over both forms of the arm's difference from the reference, computed region by region.
        forms: For each domain, the arm of the first form minus the arm of the second, computed region by region; the reference
            cancels out.

    Raises:
        ValueError: If an effect comes from a single run.
    """
    return FactorialEffects(
        domain=independent_sum(means, (1.0, -1.0)),
        form=independent_sum(forms, (0.5, 0.5)),
        interaction=independent_sum(forms, (1.0, -1.0)),
    )
