"""Does an effect depend on the domain, on the form of the privileged information, or on their combination?

Four differences between arms, two domains x two forms. Domains share no patients and no runs; the two forms of a domain share
both, so their comparison is paired.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mmpkd.statistics.effects import Effect, independent_sum
from mmpkd.statistics.hypotheses import Verdict, verdict
from mmpkd.statistics.resampling import as_codes
from mmpkd.study.analysis.difference import difference
from mmpkd.study.analysis.pairing import by_seed, paired_differences
from mmpkd.study.analysis.run_tables import RunTables
from mmpkd.study.plan.study_plan import Factorial, NotComparableError


@dataclass(frozen=True)
class FactorialEffects:
    """Effects of a 2 x 2 design.

    Attributes:
        domain: Mean effect in the first domain minus that in the second.
        form: Mean effect of the first form minus that of the second.
        interaction: How much the effect of the form differs between the domains.
    """

    domain: Effect
    form: Effect
    interaction: Effect


@dataclass(frozen=True)
class Contrasted:
    """The result of a factorial design.

    Attributes:
        declared: As declared.
        effects: Main effects and interaction; the one that was declared is the endpoint, the others are exploratory.
        num_seeds: Training runs of each arm.
    """

    declared: Factorial
    effects: FactorialEffects
    num_seeds: int

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
    def verdict(self) -> Verdict:
        """Judgement at the 5 % level."""
        return verdict(self.effect, self.declared.margin)


def contrast(declared: Factorial, tables: Mapping[str, Sequence[RunTables]]) -> Contrasted:
    """Compute a contrast from the finished runs of all arms.

    Args:
        declared: The design.
        tables: Finished runs by arm.

    Raises:
        NotComparableError: If the arms of a domain share fewer than two seeds or the domains share patients, or there is no such
            read-out.
    """
    found = [_in_domain(declared, name, tables) for name in declared.domains]
    shared = found[0].patients & found[1].patients
    if shared:
        raise NotComparableError(f"Expected domains with patients of their own but {len(shared)} are in both.")
    effects = factorial_effects([own.mean for own in found], [own.form for own in found])
    return Contrasted(declared, effects, min(own.num_seeds for own in found))


@dataclass(frozen=True)
class _InDomain:
    """The part of a contrast that comes from one domain.

    Attributes:
        mean: Mean over both forms of the differences from the reference.
        form: First form minus second form.
        num_seeds: Training runs that all its arms have.
        patients: Its patients.
    """

    mean: Effect
    form: Effect
    num_seeds: int
    patients: frozenset[str]


def _in_domain(declared: Factorial, name: str, tables: Mapping[str, Sequence[RunTables]]) -> _InDomain:
    first, second = (declared.comparison(name, form) for form in declared.forms)
    pairs = ((first.arm, first.reference), (second.arm, second.reference), (first.arm, second.arm))
    frames = [paired_differences(tables[arm], tables[other], declared.measure) for arm, other in pairs]
    seeds = [seed for seed in frames[0].columns if seed in frames[1] and seed in frames[2]]
    if len(seeds) < 2:
        raise NotComparableError(f"Expected two seeds that all arms of {name} have finished but got {len(seeds)}.")
    patients = frames[0].index.get_level_values("patient_id").tolist()
    codes = as_codes(patients)
    one, other, between = (by_seed(frame[seeds]) for frame in frames)
    return _InDomain(
        mean=difference(name, (one + other) / 2, codes).effect,
        form=difference(name, between, codes).effect,
        num_seeds=len(seeds),
        patients=frozenset(patients),
    )


def factorial_effects(means: Sequence[Effect], forms: Sequence[Effect]) -> FactorialEffects:
    """Return main effects and interaction.

    Args:
        means: In each domain, the mean over both forms of the arms' differences from the reference, computed ROI by ROI.
        forms: In each domain, the arm of the first form minus the arm of the second, computed ROI by ROI; the reference
            cancels.

    Raises:
        ValueError: If an effect is of a single run.
    """
    return FactorialEffects(
        domain=independent_sum(means, (1.0, -1.0)),
        form=independent_sum(forms, (0.5, 0.5)),
        interaction=independent_sum(forms, (1.0, -1.0)),
    )
