"""Localization at equal recognition, because a student that recognises more findings also tends to look at them.

Confidence is a noisy measure of recognition, so a regression on it adjusts too little. The confidence of another run in the same
finding has independent noise. Used as an instrument (Carroll et al. 2006, Measurement Error in Nonlinear Models, chapter 6), it
gives the slope on recognition itself. Confidence is standardised by the run's own negatives, so that it does not depend on
calibration.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from mmpkd.statistics.arrays import Codes, Floats
from mmpkd.statistics.effects import Effect, effect_of
from mmpkd.statistics.estimands import (
    MIN_FINDING_PATIENTS,
    Average,
    Regions,
    RunMeans,
    cell_sums,
    run_means,
)
from mmpkd.statistics.hypotheses import MIN_SEEDS_OF_A_CLAIM

# nonlinearity, or noise that all runs share, can leave this share of the unadjusted difference (docs/statistics.md)
GUARD = 0.1
# if the runs correlate less, the instrument is too weak
MIN_CORRELATION = 0.1

Beyond = Literal["beyond", "not shown", "no claim", "cannot be told"]


@dataclass(frozen=True)
class Arms:
    """Values of two arms on the same N regions, in S runs each; NaN where undefined.

    Attributes:
        arm: (S, N) values of the arm.
        reference: (S, N) values of the reference.
    """

    arm: Floats
    reference: Floats

    @property
    def stacked(self) -> Floats:
        """Values (2, S, N) of the reference and the arm."""
        return np.stack([self.reference, self.arm])


@dataclass(frozen=True)
class Matched:
    """A difference at equal recognition.

    Attributes:
        effect: The difference.
        unadjusted: The difference on the same regions, with nothing held equal.
        correlation: Correlation, over regions, of the standardised confidence between runs of an arm.
        num_rois: Number of pairs of regions, over all seeds.
    """

    effect: Effect
    unadjusted: float
    correlation: float
    num_rois: int

    def p_value(self, guard: float = GUARD) -> float:
        """Return the p-value of the hypothesis that no more is left than a share `guard` of the unadjusted difference.

        Nothing is allowed for if what is left has the opposite sign.
        """
        # the guard lies on the side of the unadjusted difference, since recognition is removed incompletely
        allowed = guard * self.unadjusted if self.effect.estimate * self.unadjusted > 0 else 0.0
        # `Effect.p_value` is two-sided: it would be small far below the guard, too
        is_within = abs(self.effect.estimate) <= abs(allowed)
        return 1.0 if is_within and self.effect.parts else self.effect.p_value(allowed)

    @property
    def verdict(self) -> Beyond:
        """Whether there is a difference beyond recognition, at the 5 % level."""
        # not `<`, which would let NaN through
        if not self.correlation >= MIN_CORRELATION:
            return "cannot be told"
        if self.effect.num_seeds < MIN_SEEDS_OF_A_CLAIM:
            return "no claim"
        return "beyond" if self.p_value() < 0.05 else "not shown"


def standardised(logit: Floats, negatives: Floats) -> Floats:
    """Standardise confidence by a run's own negatives: (logit - mean) / standard deviation.

    Args:
        logit: (N,) logits of a finding.
        negatives: (M,) logits of the same finding on images without it, by the same run.

    Returns:
        (N,) values; NaN if there are fewer than two negatives, or if all are equal.

    Example:
        >>> standardised(np.array([3.0, 1.0]), np.array([0.0, 2.0])).tolist()
        [2.0, 0.0]
    """
    spread = negatives.std() if len(negatives) > 1 else 0.0
    return (logit - negatives.mean()) / spread if spread > 0 else np.full(len(logit), np.nan)


def at_equal_recognition(scores: Arms, confidence: Arms, regions: Regions, average: Average) -> Matched | None:
    """Return the difference in localization that is left at equal recognition.

    In each run, the slope of score on confidence within arms is multiplied by the difference in confidence, and the product is
    subtracted from the difference in score. The slope is estimated with an instrumental variable: the mean confidence of the
    other runs of the arm in the same region.

    Args:
        scores: Localization scores.
        confidence: Standardised confidence in the finding, see `standardised`.
        regions: Patient and finding of the N regions.
        average: What is averaged, also in the slope.

    Returns:
        The difference; None if there are fewer than two runs, or if a run has no pair with all values defined.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> truth = rng.normal(0, 1, 60) + np.array([[[0.0]], [[0.5]]])  # the arm recognises more
        >>> seen = truth + rng.normal(0, 0.5, (2, 4, 60))
        >>> score = 0.1 * truth + rng.normal(0, 0.01, (2, 4, 60))
        >>> regions = Regions(np.arange(60), np.zeros(60, np.int64))
        >>> found = at_equal_recognition(Arms(score[1], score[0]), Arms(seen[1], seen[0]), regions, "patients")
        >>> f"{found.unadjusted:.2f} {abs(found.effect.estimate):.2f} {found.verdict}"
        '0.05 0.00 not shown'
    """
    y = scores.stacked
    z = confidence.stacked
    instrument = _of_other_runs(np.where(np.isnan(y), np.nan, z))  # (2, S, N)
    defined = np.asarray(~np.isnan(y + z + instrument).any(axis=0))  # (S, N)
    if len(defined) < 2 or not defined.any(axis=1).all():
        return None
    used = defined.any(axis=0)
    # numbered anew: `run_means` leaves out patients without a defined region, and `_slopes` has to agree on P
    own = Regions(np.unique(regions.patient[used], return_inverse=True)[1], regions.finding[used])
    y, z, instrument, defined = y[..., used], z[..., used], instrument[..., used], defined[:, used]
    score = run_means(np.where(defined, y[1] - y[0], np.nan), own, average)
    gap = run_means(np.where(defined, z[1] - z[0], np.nan), own, average)
    weight = region_weights(defined, own, average)
    slope, slope_without = _slopes(np.stack([y, z, instrument]), weight, own.patient)
    left = RunMeans(
        values=score.values - slope * gap.values,
        without=score.without - slope_without * gap.without,
        weights=score.weights,
    )
    return Matched(effect_of(left), float(score.values.mean()), _correlation(z, defined), int(defined.sum()))


def _of_other_runs(values: Floats) -> Floats:
    """Return the mean (2, S, N) over the other runs of the arm, for each region; NaN where none of them has a value."""
    known = ~np.isnan(values)
    others = known.sum(axis=1, keepdims=True) - known
    total = np.where(known, values, 0.0)
    rest = total.sum(axis=1, keepdims=True) - total
    return np.asarray(rest / np.where(others > 0, others, np.nan))


def region_weights(
    defined: "np.ndarray[tuple[int, int], np.dtype[np.bool_]]", regions: Regions, average: Average
) -> Floats:
    """Return the weight (S, N) of each region in an average; 0 where it is undefined.

    Example:
        >>> regions = Regions(np.array([0, 0, 1]), np.zeros(3, np.int64))
        >>> region_weights(np.ones((1, 3), np.bool_), regions, "patients").tolist()
        [[0.5, 0.5, 1.0]]
    """
    if average == "regions":
        return defined.astype(np.float64)
    finding = regions.finding if average == "findings" else np.zeros_like(regions.finding)
    cells = Regions(regions.patient, finding)
    size = int(regions.patient.max()) + 1, int(finding.max()) + 1
    count = cell_sums(np.where(defined, 1.0, np.nan), cells, *size)[1]
    num_patients = (count > 0).sum(axis=1)  # (S, F)
    # as in `CellMeans.num_patients`: the run with the fewest patients decides for all runs
    kept = num_patients.min(axis=0) >= (MIN_FINDING_PATIENTS if average == "findings" else 1)
    in_cell = count[:, regions.patient, finding]  # (S, N)
    of_finding = num_patients[:, finding] if average == "findings" else 1
    return np.where(defined & kept[finding], 1 / np.maximum(in_cell * of_finding, 1), 0.0)


def _slopes(values: Floats, weight: Floats, patient: Codes) -> tuple[Floats, Floats]:
    """Return the slope of score on confidence in each run, (S,), and the same without each patient, (S, P).

    Args:
        values: (3, 2, S, N) score, confidence and instrument of both arms.
        weight: (S, N) weight of each region.
        patient: (N,) patient of each region.
    """
    y, z, instrument = np.where(weight > 0, values, 0.0)
    num_patients = int(patient.max()) + 1
    products = (np.ones_like(y), y, z, instrument, y * instrument, z * instrument)
    sums = np.stack([_by_patient(weight * own, patient, num_patients) for own in products])  # (6, 2, S, P)
    total = sums.sum(axis=-1, keepdims=True)
    leaving = np.concatenate([total, total - sums], axis=-1)  # (6, 2, S, 1 + P), first all patients, then without each
    n, sum_y, sum_z, sum_w, sum_yw, sum_zw = leaving
    # covariances with the instrument within arms, summed over the arms: (S, 1 + P)
    of_score = (sum_yw - sum_y * sum_w / n).sum(axis=0)
    of_confidence = (sum_zw - sum_z * sum_w / n).sum(axis=0)
    # the slope of an instrument, a ratio of covariances: the noise of a run's own confidence drops out of both
    slope = of_score / np.where(of_confidence == 0, np.nan, of_confidence)
    return slope[:, 0], slope[:, 1:]


def _by_patient(values: Floats, patient: Codes, num_patients: int) -> Floats:
    """Return the sums (2, S, P) of values (2, S, N) over the regions of each patient."""
    rows = values.reshape(-1, values.shape[-1])
    sums = [np.bincount(patient, row, num_patients) for row in rows]
    return np.reshape(sums, (*values.shape[:-1], num_patients))


def _correlation(z: Floats, defined: "np.ndarray[tuple[int, int], np.dtype[np.bool_]]") -> float:
    """Return the mean correlation of confidence between two runs of an arm, over regions defined in all runs, or NaN."""
    own = z[..., defined.all(axis=0)]
    if own.shape[-1] < 3 or not (own.std(axis=-1) > 0).all():
        return float("nan")
    num = own.shape[1]
    # the mean leaves out the diagonal, whose S entries are 1
    matrices = [np.corrcoef(arm) for arm in own]
    return float(np.mean([(matrix.sum() - num) / (num * (num - 1)) for matrix in matrices]))
