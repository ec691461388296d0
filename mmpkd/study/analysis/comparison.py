"""A declared difference between two arms, with everything needed to interpret it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from mmpkd.statistics.collapse import MIN_PAIRS, Collapse, collapse_of
from mmpkd.statistics.effects import MIN_SEEDS, Effect, Interval, paired_effect_size, t_interval
from mmpkd.statistics.estimands import AVERAGES, run_means
from mmpkd.statistics.hypotheses import MIN_SEEDS_OF_A_CLAIM, Verdict, equivalence_p_value, verdict
from mmpkd.statistics.recognition import Arms, Matched, at_equal_recognition
from mmpkd.study.analysis.by_finding import ByFinding, by_finding
from mmpkd.study.analysis.confidence import confidence_in
from mmpkd.study.analysis.difference import Difference, difference
from mmpkd.study.analysis.levels import Levels, best_baseline_map, run_levels
from mmpkd.study.analysis.macro_auroc import macro_auroc_difference
from mmpkd.study.analysis.pairing import Pairs, pairs_of
from mmpkd.study.analysis.progress import ALPHA, Progress, SeedCount
from mmpkd.study.analysis.run_tables import RunTables, seeds_of, unlike
from mmpkd.study.plan.errors import NotComparableError
from mmpkd.study.plan.questions import Comparison
from mmpkd.study.plan.study_plan import Aspect

# reasons to claim nothing, whatever the numbers are
Limit = Literal["one_seed", "interim", "two_seeds", "few_localize"]


@dataclass(frozen=True)
class Compared:
    """The result of a comparison.

    Attributes:
        declared: The declared comparison.
        overall: The difference by the declared average over all regions; if runs collapsed, only of the pairs that localize.
        described: The difference by the other averages, which are described and not tested.
        findings: The difference by finding; exploratory.
        count: Planned, finished, failed and missing runs.
        collapse: Runs that do not localize better than the best baseline map.
        seeds: Seeds that both arms have.
        seed_means: Mean difference of each seed.
        over_seeds: Student's t interval over the seeds, for this test set only.
        effect_size: Standardised mean of the seeds' differences.
        auroc: Difference in macro AUROC, as context for the difference in localization.
        matched: The difference at equal recognition, or None if it cannot be computed; exploratory.
        levels: Mean scores of both arms and of the best baseline map, over the regions that are defined in both arms.
        unlike: Differences between the trainings of the arms that are not part of the question.
        adjusted: p-value after correction for the other declared questions, or None if there are no others.
        adjusted_equivalence: The same of the test of equivalence.
    """

    declared: Comparison
    overall: Difference
    described: tuple[Difference, ...]
    findings: ByFinding
    count: SeedCount
    collapse: Collapse
    seeds: tuple[int, ...]
    seed_means: tuple[float, ...]
    over_seeds: Interval
    effect_size: float
    auroc: Effect
    matched: Matched | None
    levels: Levels
    unlike: tuple[Aspect, ...]
    adjusted: float | None = None
    adjusted_equivalence: float | None = None

    @property
    def num_seeds(self) -> int:
        """Number of training runs of each arm."""
        return len(self.seed_means)

    @property
    def effect(self) -> Effect:
        """The mean difference over all regions."""
        return self.overall.effect

    @property
    def has_estimate(self) -> bool:
        """Whether there is a mean difference; there is none if too few pairs of runs localize."""
        return not math.isnan(self.effect.estimate)

    @property
    def by_finding(self) -> tuple[Difference, ...]:
        """The difference for each finding, if there are several."""
        return self.findings.differences

    @property
    def limit(self) -> Limit | None:
        """Why no claim may be made, or None if one may."""
        if self.num_seeds == 1:
            return "one_seed"
        if self.count.level is None:
            return "interim"
        if self.num_seeds < MIN_SEEDS_OF_A_CLAIM:
            return "two_seeds"
        return "few_localize" if sum(self.collapse.localizing) < MIN_PAIRS else None

    @property
    def margin(self) -> float | None:
        """The margin for equivalence; None if there are too few runs or some collapsed, so that it may not be claimed."""
        is_asked = self.num_seeds >= MIN_SEEDS and not self.collapse.happened
        return self.declared.margin if is_asked else None

    @property
    def p_value(self) -> float:
        """p-value of the hypothesis of no difference; NaN if no claim may be made."""
        return float("nan") if self.limit is not None else self.effect.p_value()

    @property
    def equivalence(self) -> float:
        """p-value of the test of equivalence within the margin; NaN if equivalence may not be claimed."""
        if self.margin is None or self.limit is not None:
            return float("nan")
        return equivalence_p_value(self.effect, self.margin)

    @property
    def verdict(self) -> Verdict:
        """Verdict at the level of the study, after correction for its other questions."""
        if self.limit is not None:
            return "no claim"
        # without a limit there is a level; `or` only tells the type checker
        found = verdict(self.effect, self.margin, self.count.level or ALPHA)
        corrected = self.adjusted_equivalence if found == "equivalent" else self.adjusted
        is_open = corrected is None or corrected < (self.count.level or ALPHA)
        return found if is_open else "not shown"


def compare(
    declared: Comparison, arm: Sequence[RunTables], reference: Sequence[RunTables], progress: Progress | None = None
) -> Compared:
    """Compute a comparison from the finished runs of two arms.

    Args:
        declared: The declared comparison.
        arm: Finished runs of the arm.
        reference: Finished runs of the reference.
        progress: Planned seeds and failed runs; by default, the seeds that both arms have.

    Raises:
        NotComparableError: If there is nothing to compare.
        StudyError: If the arms were tested on different data.
    """
    pairs = pairs_of(arm, reference, declared.measure)
    _check_defined(pairs, declared)
    finished = {own[0].run.arm.name: seeds_of(own) for own in (arm, reference)}
    # from here on, the runs of both arms are in the order of `pairs.seeds`
    arm, reference = (_of_seeds(tables, pairs.seeds) for tables in (arm, reference))
    levels = run_levels(pairs.arm, pairs, declared.average), run_levels(pairs.reference, pairs, declared.average)
    # the runs of one arm are enough, since baseline maps do not depend on the student
    baseline = best_baseline_map(reference, declared.measure, pairs, declared.average)
    collapse = collapse_of(*levels, np.nan if baseline is None else baseline.value)
    # over all pairs of runs, also those that do not localize: they are shown seed by seed
    means = run_means(pairs.differences, pairs.regions, declared.average).values
    used = _used(pairs, collapse)
    return Compared(
        declared=declared,
        overall=difference("all", used.differences, used.regions, declared.average, used.findings),
        described=_described(declared, used),
        findings=by_finding(declared, arm, reference, used),
        count=(progress or Progress(pairs.seeds)).count(finished),
        collapse=collapse,
        seeds=pairs.seeds,
        seed_means=tuple(means.tolist()),
        over_seeds=t_interval(means),
        effect_size=paired_effect_size(means),
        auroc=macro_auroc_difference(arm, reference),
        matched=_matched(declared, used, arm, reference),
        unlike=unlike(arm, reference),
        levels=Levels(float(levels[0].mean()), float(levels[1].mean()), baseline),
    )


def _of_seeds(tables: Sequence[RunTables], seeds: Sequence[int]) -> list[RunTables]:
    by_seed = {table.run.seed: table for table in tables}
    return [by_seed[seed] for seed in seeds]


def _check_defined(pairs: Pairs, declared: Comparison) -> None:
    if np.isnan(pairs.differences).all(axis=1).any():
        raise NotComparableError(
            f"Expected {declared.score} of {declared.attribution} to be defined for some region in every run of {declared.arm} "
            f"and {declared.reference} but in one run it never is."
        )


def _used(pairs: Pairs, collapse: Collapse) -> Pairs:
    """Return the pairs of runs that localize, or none if there are too few. A single pair is kept: it is only described."""
    if not collapse.happened or len(pairs.seeds) == 1:
        return pairs
    enough = sum(collapse.localizing) >= MIN_PAIRS
    return pairs.of([enough and own for own in collapse.localizing])


def _described(declared: Comparison, pairs: Pairs) -> tuple[Difference, ...]:
    """Return the difference by the averages that were not declared; over findings only if there are several."""
    averages = AVERAGES if len(pairs.findings) > 1 else ("patients", "regions")
    others = [average for average in averages if average != declared.average]
    return tuple(difference("all", pairs.differences, pairs.regions, average, pairs.findings) for average in others)


def _matched(
    declared: Comparison, pairs: Pairs, arm: Sequence[RunTables], reference: Sequence[RunTables]
) -> Matched | None:
    """Return the difference at equal recognition, for the pairs of runs that localize."""
    if not pairs.seeds:
        return None
    tables = [_of_seeds(own, pairs.seeds) for own in (arm, reference)]
    confidence = Arms(*(confidence_in(own, pairs.index) for own in tables))
    return at_equal_recognition(Arms(pairs.arm, pairs.reference), confidence, pairs.regions, declared.average)
