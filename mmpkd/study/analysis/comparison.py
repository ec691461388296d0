"""A declared difference between two arms, with everything that it must be read against."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mmpkd.attribution import BASELINE_MAPS
from mmpkd.statistics.auroc_bootstrap import auroc_differences
from mmpkd.statistics.effects import Effect, Interval, effect_of, paired_effect_size, t_interval
from mmpkd.statistics.hypotheses import Verdict, equivalence_p_value, verdict
from mmpkd.statistics.matching import Matched, at_equal_auroc, at_equal_confidence, logits, where_both_recognise
from mmpkd.statistics.resampling import Floats, as_codes, cluster_sums, patient_bootstrap
from mmpkd.study.analysis.results import RunTables, macro_auroc, paired, paired_differences, stacked_predictions
from mmpkd.study.plan.study_plan import Comparison, NotComparableError

BASELINE_NAMES = tuple(kind.name for kind in BASELINE_MAPS)
UNDEFINED = Effect(float("nan"), float("nan"), float("nan"))


@dataclass(frozen=True)
class Difference:
    """A difference between two arms on some ROIs.

    Attributes:
        finding: Finding, or `all`.
        effect: Mean paired difference.
        num_rois: ROI pairs whose score is defined in a run or more.
        num_patients: Their patients.
        num_undefined: Differences left out because a score is undefined, over all seeds.
    """

    finding: str
    effect: Effect
    num_rois: int
    num_patients: int
    num_undefined: int

    @property
    def interval(self) -> Interval:
        """The 95 % interval."""
        return self.effect.interval()


@dataclass(frozen=True)
class Compared:
    """What a comparison gave.

    Attributes:
        declared: As declared.
        overall: Over all findings.
        by_finding: For each finding, if there are several; exploratory.
        seed_means: Mean difference of each seed.
        over_seeds: t-interval over the seeds, for this test set only.
        effect_size: Standardised mean of the seeds' differences.
        auroc: Difference in macro AUROC, to read localization against.
        matched: The difference at equal classification, by each way that is possible; exploratory.
        levels: Mean score of the arm and of its reference, over the ROIs that are defined in both.
        trivial: Name and mean score, over the same ROIs, of the best predictor that sees no student, or None if none was scored.
    """

    declared: Comparison
    overall: Difference
    by_finding: tuple[Difference, ...]
    seed_means: tuple[float, ...]
    over_seeds: Interval
    effect_size: float
    auroc: Effect
    matched: tuple[Matched, ...]
    levels: tuple[float, float]
    trivial: tuple[str, float] | None

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


def compare(declared: Comparison, arm: Sequence[RunTables], reference: Sequence[RunTables]) -> Compared:
    """Compute a comparison from the finished runs of two arms.

    Raises:
        NotComparableError: If there is nothing to compare.
        StudyError: If the arms were tested on different data.
    """
    frame = paired_differences(arm, reference, declared.attribution, declared.score)
    values, patient = _values(frame), _patients(frame)
    if np.isnan(values).all(axis=1).any():
        raise NotComparableError(
            f"Expected {declared.score} of {declared.attribution} to be defined for some ROI in every run of {declared.arm} and "
            f"{declared.reference} but in one it never is."
        )
    finding = frame.index.get_level_values("finding").to_numpy()
    names = sorted(set(finding))
    # of a single finding the difference is the overall one
    names = names if len(names) > 1 else []
    means = cluster_sums(values, patient).seed_means
    runs = common_runs(arm, reference)
    levels = [run_levels(tables, declared.attribution, declared.score, frame) for tables in runs]
    return Compared(
        declared=declared,
        overall=difference("all", values, patient),
        by_finding=tuple(difference(name, values[:, finding == name], patient[finding == name]) for name in names),
        seed_means=tuple(means.tolist()),
        over_seeds=t_interval(means),
        effect_size=paired_effect_size(means),
        auroc=_auroc_difference(*runs),
        matched=_matched(declared.attribution, values, patient, runs, levels),
        levels=(float(levels[0].mean()), float(levels[1].mean())),
        trivial=best_trivial(runs[1], declared.score, frame),
    )


def difference(name: str, values: Floats, patient: NDArray[np.int64]) -> Difference:
    """Return a mean difference over ROIs; undefined if a run has no defined pair.

    Args:
        name: Finding, or `all`.
        values: (S, N) differences of S seeds and N ROIs; NaN where undefined.
        patient: (N,) patient of each ROI.
    """
    defined = (~np.isnan(values)).any(axis=0)
    counts = int(defined.sum()), len(np.unique(patient[defined])), int(np.isnan(values).sum())
    if np.isnan(values).all(axis=1).any():
        return Difference(name, UNDEFINED, *counts)
    codes = np.unique(patient, return_inverse=True)[1]
    return Difference(name, effect_of(patient_bootstrap(cluster_sums(values, codes))), *counts)


def run_levels(tables: Sequence[RunTables], attribution: str, score: str, differences: pd.DataFrame) -> Floats:
    """Return the mean score (S,) of each run over the ROIs that its difference is made of.

    Args:
        tables: The runs of an arm that are compared.
        attribution: Read-out.
        score: Localization score.
        differences: As from `paired_differences`, NaN where a score of the arm or the reference is undefined.

    Returns:
        Means; NaN for a run without such a read-out.
    """
    values = _values(paired(tables, attribution, score).reindex(differences.index))
    used = ~np.isnan(values) & ~np.isnan(_values(differences))
    count = used.sum(axis=1)
    return np.asarray(np.where(used, values, 0.0).sum(axis=1) / np.where(count > 0, count, np.nan))


def best_trivial(tables: Sequence[RunTables], score: str, differences: pd.DataFrame) -> tuple[str, float] | None:
    """Return the best predictor that sees no student, and its mean score over the ROIs of `run_levels`."""
    levels = {name: float(run_levels(tables, name, score, differences).mean()) for name in BASELINE_NAMES}
    known = {name: value for name, value in levels.items() if not np.isnan(value)}
    return max(known.items(), key=lambda item: item[1]) if known else None


def common_runs(arm: Sequence[RunTables], reference: Sequence[RunTables]) -> tuple[list[RunTables], list[RunTables]]:
    """Return the runs of two arms whose seeds both have, in the same order."""
    own, other = ({table.run.seed: table for table in tables} for tables in (arm, reference))
    seeds = [seed for seed in own if seed in other]
    return [own[seed] for seed in seeds], [other[seed] for seed in seeds]


def _values(frame: pd.DataFrame) -> Floats:
    return frame.to_numpy(dtype=np.float64).T


def _patients(frame: pd.DataFrame) -> NDArray[np.int64]:
    return as_codes(frame.index.get_level_values("patient_id").tolist())


def _auroc_difference(arm: list[RunTables], reference: list[RunTables]) -> Effect:
    target = stacked_predictions([*arm, *reference], "target")[0]
    patient = as_codes(reference[0].predictions["patient_id"].tolist())
    preds = [stacked_predictions(tables, "probability") for tables in (arm, reference)]
    return auroc_differences(preds[0], preds[1], target, patient).effect()


def _matched(
    read_out: str,
    values: Floats,
    patient: NDArray[np.int64],
    runs: tuple[list[RunTables], list[RunTables]],
    levels: Sequence[Floats],
) -> tuple[Matched, ...]:
    confidence = [_values(paired(tables, read_out, "probability")) for tables in runs]
    recognised = [_values(paired(tables, read_out, "recognised")) == 1 for tables in runs]
    aurocs = [np.array([macro_auroc(table) for table in tables]) for tables in runs]
    found = (
        at_equal_confidence(values, logits(confidence[0]) - logits(confidence[1]), patient),
        where_both_recognise(values, recognised[0] & recognised[1], patient),
        at_equal_auroc((levels[0], levels[1]), (aurocs[0], aurocs[1])),
    )
    return tuple(matched for matched in found if matched is not None)
