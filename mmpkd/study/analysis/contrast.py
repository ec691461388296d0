"""Does an effect depend on the domain, on the form of the privileged information, or on their combination?

Four differences between arms, two domains x two forms. Domains share no patients and no runs; the two forms of a domain share
both, so their comparison is paired.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mmpkd.statistics.effects import Effect, independent_sum
from mmpkd.statistics.hypotheses import Verdict, verdict
from mmpkd.statistics.resampling import as_codes
from mmpkd.study.analysis.comparison import difference
from mmpkd.study.analysis.results import RunTables, paired_differences
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
    """What a factorial design gave.

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
    means, forms, num_seeds = [], [], []
    seen: set[str] = set()
    for name in declared.domains:
        first, second = (declared.comparison(name, form) for form in declared.forms)
        pairs = [(first.arm, first.reference), (second.arm, second.reference), (first.arm, second.arm)]
        frames = [
            paired_differences(tables[arm], tables[other], declared.attribution, declared.score) for arm, other in pairs
        ]
        seeds = [seed for seed in frames[0].columns if all(seed in frame for frame in frames)]
        if len(seeds) < 2:
            raise NotComparableError(f"Expected two seeds that all arms of {name} have finished but got {len(seeds)}.")
        values = [frame[seeds].to_numpy(dtype=np.float64).T for frame in frames]
        patient = as_codes(frames[0].index.get_level_values("patient_id").tolist())
        patients = set(frames[0].index.get_level_values("patient_id"))
        if seen & patients:
            raise NotComparableError(
                f"Expected domains with patients of their own but {len(seen & patients)} are in both."
            )
        seen |= patients
        means.append(difference(name, (values[0] + values[1]) / 2, patient).effect)
        forms.append(difference(name, values[2], patient).effect)
        num_seeds.append(len(seeds))
    return Contrasted(declared, factorial_effects(means, forms), min(num_seeds))


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
