"""A declared difference between two arms, with everything that it must be read against."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mmpkd.statistics.auroc_bootstrap import auroc_differences
from mmpkd.statistics.effects import Effect, paired_effect_size
from mmpkd.statistics.hypotheses import Verdict, equivalence_p_value, verdict
from mmpkd.statistics.intervals import Interval, t_interval
from mmpkd.statistics.matching import Matched, at_equal_auroc, at_equal_confidence, logits, where_both_recognise
from mmpkd.statistics.resampling import Floats, as_codes, cluster_sums
from mmpkd.study.analysis.difference import Difference, difference
from mmpkd.study.analysis.levels import Levels, best_baseline_map, run_levels
from mmpkd.study.analysis.pairing import (
    by_seed,
    check_same_images,
    paired,
    paired_differences,
    stacked_predictions,
    targets_of,
)
from mmpkd.study.analysis.run_tables import RunTables
from mmpkd.study.analysis.scores import macro_auroc
from mmpkd.study.plan.study_plan import Comparison, NotComparableError


@dataclass(frozen=True)
class Compared:
    """The result of a comparison.

    Attributes:
        declared: As declared.
        overall: Over all findings.
        by_finding: For each finding, if there are several; exploratory.
        seed_means: Mean difference of each seed.
        over_seeds: t-interval over the seeds, for this test set only.
        effect_size: Standardised mean of the seeds' differences.
        auroc: Difference in macro AUROC, to read localization against.
        matched: The difference at equal classification, by each way that is possible; exploratory.
        levels: Mean scores of both arms and of the best baseline map, over the ROIs that are defined in both arms.
    """

    declared: Comparison
    overall: Difference
    by_finding: tuple[Difference, ...]
    seed_means: tuple[float, ...]
    over_seeds: Interval
    effect_size: float
    auroc: Effect
    matched: tuple[Matched, ...]
    levels: Levels

    @property
    def num_seeds(self) -> int:
        """Number of training runs of each arm."""
        return len(self.seed_means)

    @property
    def effect(self) -> Effect:
        """The mean difference over all findings."""
        return self.overall.effect

    @property
    def equivalence(self) -> float:
        """p-value of equivalence within the margin; NaN if none was declared."""
        return float("nan") if self.declared.margin is None else equivalence_p_value(self.effect, self.declared.margin)

    @property
    def verdict(self) -> Verdict:
        """Judgement at the 5 % level."""
        return verdict(self.effect, self.declared.margin)


@dataclass(frozen=True)
class _Runs:
    """The runs of two arms whose seeds both have, in the same order."""

    arm: list[RunTables]
    reference: list[RunTables]

    @classmethod
    def common(cls, arm: Sequence[RunTables], reference: Sequence[RunTables]) -> Self:
        own = {table.run.seed: table for table in arm}
        other = {table.run.seed: table for table in reference}
        seeds = [seed for seed in own if seed in other]
        return cls([own[seed] for seed in seeds], [other[seed] for seed in seeds])


def compare(declared: Comparison, arm: Sequence[RunTables], reference: Sequence[RunTables]) -> Compared:
    """Compute a comparison from the finished runs of two arms.

    Raises:
        NotComparableError: If there is nothing to compare.
        StudyError: If the arms were tested on different data.
    """
    frame = paired_differences(arm, reference, declared.measure)
    values = by_seed(frame)
    patient = as_codes(frame.index.get_level_values("patient_id").tolist())
    _check_defined(values, declared)
    means = cluster_sums(values, patient).seed_means
    runs = _Runs.common(arm, reference)
    levels = run_levels(runs.arm, declared.measure, frame)
    reference_levels = run_levels(runs.reference, declared.measure, frame)
    baseline = best_baseline_map(runs.reference, declared.score, frame)
    return Compared(
        declared=declared,
        overall=difference("all", values, patient),
        by_finding=_by_finding(frame, values, patient),
        seed_means=tuple(means.tolist()),
        over_seeds=t_interval(means),
        effect_size=paired_effect_size(means),
        auroc=_auroc_difference(runs),
        matched=_matched(declared.attribution, values, patient, runs, (levels, reference_levels)),
        levels=Levels(float(levels.mean()), float(reference_levels.mean()), baseline),
    )


def _check_defined(values: Floats, declared: Comparison) -> None:
    if np.isnan(values).all(axis=1).any():
        raise NotComparableError(
            f"Expected {declared.score} of {declared.attribution} to be defined for some ROI in every run of {declared.arm} and "
            f"{declared.reference} but in one it never is."
        )


def _by_finding(frame: pd.DataFrame, values: Floats, patient: NDArray[np.int64]) -> tuple[Difference, ...]:
    """Return the difference for each finding; of a single one it is the overall difference, and there is nothing to add."""
    finding = frame.index.get_level_values("finding").to_numpy()
    names = sorted(set(finding))
    if len(names) < 2:
        return ()
    return tuple(difference(name, values[:, finding == name], patient[finding == name]) for name in names)


def _auroc_difference(runs: _Runs) -> Effect:
    check_same_images([*runs.arm, *runs.reference])
    first = runs.reference[0]
    patient = as_codes(first.predictions["patient_id"].tolist())
    arm = stacked_predictions(runs.arm)
    return auroc_differences(arm, stacked_predictions(runs.reference), targets_of(first), patient).effect()


def _matched(
    attribution: str, values: Floats, patient: NDArray[np.int64], runs: _Runs, levels: tuple[Floats, Floats]
) -> tuple[Matched, ...]:
    """Return the difference at equal classification, in each way that is possible."""
    arm = logits(by_seed(paired(runs.arm, attribution, "probability")))
    reference = logits(by_seed(paired(runs.reference, attribution, "probability")))
    in_arm = by_seed(paired(runs.arm, attribution, "recognised")) == 1
    in_reference = by_seed(paired(runs.reference, attribution, "recognised")) == 1
    aurocs = np.array([macro_auroc(table) for table in runs.arm])
    reference_aurocs = np.array([macro_auroc(table) for table in runs.reference])
    found = (
        at_equal_confidence(values, arm - reference, patient),
        where_both_recognise(values, in_arm & in_reference, patient),
        at_equal_auroc(levels, (aurocs, reference_aurocs)),
    )
    return tuple(matched for matched in found if matched is not None)
