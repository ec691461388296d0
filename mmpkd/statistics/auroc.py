"""AUROC of an arm, and its difference between two arms, with uncertainty over runs and patients."""

import numpy as np
from numpy.typing import NDArray

from mmpkd.statistics.arrays import Codes, Floats
from mmpkd.statistics.effects import UNDEFINED, Effect, effect_of
from mmpkd.statistics.estimands import RunMeans

Bools = NDArray[np.bool_]


def auroc_difference(arm: Floats, reference: Floats, target: Floats, patient: Codes) -> Effect:
    """Return AUROC(arm) - AUROC(reference), averaged over the findings for which it is defined.

    Both arms predict the same images, so the jackknife leaves each patient out of both at once. With one image per patient, this
    is DeLong's variance up to terms of order 1 / N.

    Args:
        arm: (S, N, K) scores of S runs for N images and K findings.
        reference: (S, N, K) scores of the other arm, for the same images.
        target: (N, K) labels: 1, 0, or NaN if unknown.
        patient: (N,) patient of each image, as integers from 0.

    Returns:
        The effect; undefined if no finding has positives and negatives in at least two patients.

    Raises:
        ValueError: If the shapes do not fit.

    Example:
        >>> target = np.tile([[0.0], [1.0]], (10, 1))
        >>> good, bad = np.tile(target, (2, 1, 1)), np.zeros((2, 20, 1))
        >>> auroc_difference(good, bad, target, np.arange(20)).estimate
        0.5
    """
    return _over_findings(_differences(arm, reference, target, patient))


def auroc_differences(
    arm: Floats, reference: Floats, target: Floats, patient: Codes
) -> tuple[tuple[Effect, ...], Effect]:
    """Return AUROC(arm) - AUROC(reference) of each of the K findings, and averaged over those for which it is defined.

    Each finding is judged on the patients with a label of it. Arguments and errors are those of `auroc_difference`.

    Example:
        >>> target = np.tile([[0.0, 1.0], [1.0, 0.0]], (10, 1))
        >>> good, bad = np.tile(target, (2, 1, 1)), np.zeros((2, 20, 2))
        >>> by_finding, mean = auroc_differences(good, bad, target, np.arange(20))
        >>> [own.estimate for own in by_finding], mean.estimate
        ([0.5, 0.5], 0.5)
    """
    found = _differences(arm, reference, target, patient)
    return tuple(_over_findings([_of_labelled(own)]) for own in found), _over_findings(found)


def _of_labelled(runs: RunMeans) -> RunMeans:
    """Leave out the patients without a label of a finding, who have no weight in its AUROC."""
    has_label = runs.weights > 0
    return RunMeans(runs.values, runs.without[:, has_label], runs.weights[has_label])


def _differences(arm: Floats, reference: Floats, target: Floats, patient: Codes) -> list[RunMeans]:
    if arm.shape != reference.shape or arm.shape[1:] != target.shape or patient.shape != target.shape[:1]:
        raise ValueError(
            "Expected `arm` and `reference` (S, N, K), `target` (N, K) and `patient` (N,) but got "
            f"{arm.shape}, {reference.shape}, {target.shape} and {patient.shape}."
        )
    own, other = (_by_finding(preds, target, patient) for preds in (arm, reference))
    return [RunMeans(a.values - b.values, a.without - b.without, a.weights) for a, b in zip(own, other, strict=True)]


def mean_auroc(preds: Floats, target: Floats, patient: Codes) -> Effect:
    """Return the AUROC, averaged over the findings for which it is defined.

    Args:
        preds: (S, N, K) scores of S runs for N images and K findings.
        target: (N, K) labels: 1, 0, or NaN if unknown.
        patient: (N,) patient of each image, as integers from 0.

    Returns:
        The effect; undefined if no finding has positives and negatives in at least two patients.

    Example:
        >>> target = np.tile([[0.0], [1.0]], (10, 1))
        >>> mean_auroc(target[None], target, np.arange(20)).estimate
        1.0
    """
    return _over_findings(_by_finding(preds, target, patient))


def _over_findings(found: list[RunMeans]) -> Effect:
    """Return the mean over the findings whose AUROC is still defined when any one patient is left out."""
    # one NaN among the leave-one-out values would make the whole jackknife NaN
    defined = [own for own in found if np.isfinite(own.without).all()]
    if not defined:
        return UNDEFINED
    return effect_of(
        RunMeans(
            values=np.mean([own.values for own in defined], axis=0),
            without=np.mean([own.without for own in defined], axis=0),
            weights=np.mean([own.weights for own in defined], axis=0),
        )
    )


def _by_finding(preds: Floats, target: Floats, patient: Codes) -> list[RunMeans]:
    """Return the AUROC (S,) of each finding; all NaN for one without positives or negatives."""
    has_label = ~np.isnan(target).all(axis=1)
    # numbered anew: patients without any label must not count towards the number of patients P
    codes = np.unique(patient[has_label], return_inverse=True)[1]
    return [_of_finding(preds[:, has_label, k], target[has_label, k], codes) for k in range(target.shape[1])]


def _of_finding(preds: Floats, target: Floats, patient: Codes) -> RunMeans:
    num_patients = int(patient.max(initial=0)) + 1
    is_known = ~np.isnan(target)
    positive = target[is_known] > 0.5
    codes = patient[is_known]
    # (S, 1 + P)
    values = np.stack([_leaving_out(run, positive, codes, num_patients) for run in preds[:, is_known]])
    # a patient's weight: the mean of its shares of the two samples that an AUROC compares
    shares = [np.bincount(codes[own], minlength=num_patients) / max(own.sum(), 1) for own in (positive, ~positive)]
    return RunMeans(values[:, 0], values[:, 1:], np.mean(shares, axis=0))


def _leaving_out(preds: Floats, positive: Bools, patient: Codes, num_patients: int) -> Floats:
    """Return the AUROC of all images, followed by the AUROC without each patient, (1 + P,).

    Leaving out a patient takes away the pairs with one of its positives and those with one of its negatives; the pairs with
    both are then taken away twice, and are added again. Entries without positives or negatives are NaN.
    """
    # an AUROC depends on the order alone, and integer ranks can be shifted below without rounding
    ranks = np.unique(preds, return_inverse=True)[1]
    case = ranks[positive]
    control = ranks[~positive]
    own_case = np.bincount(patient[positive], _wins(case, np.sort(control)), num_patients)
    own_control = np.bincount(patient[~positive], len(case) - _wins(control, np.sort(case)), num_patients)
    # shift the ranks of each patient into a range of its own, so that only pairs within a patient are compared
    within = ranks + patient * (len(preds) + 1)
    first = patient[positive] * (len(preds) + 1)
    controls = np.sort(within[~positive])
    # minus the controls of earlier patients; half a rank lower, so that an own control of rank 0 still counts
    both = np.bincount(
        patient[positive], _wins(within[positive], controls) - _wins(first - 0.5, controls), num_patients
    )
    total = own_case.sum()
    wins = np.append(total, total - own_case - own_control + both)
    num_cases = len(case) - np.append(0, np.bincount(patient[positive], minlength=num_patients))
    num_controls = len(control) - np.append(0, np.bincount(patient[~positive], minlength=num_patients))
    num_pairs = num_cases * num_controls
    return np.asarray(wins / np.where(num_pairs > 0, num_pairs, np.nan))


def _wins(values: NDArray[np.generic], ordered: NDArray[np.generic]) -> Floats:
    """Return how many of the ordered values lie below each value; a tie counts half."""
    below = np.searchsorted(ordered, values, side="left")
    return np.asarray((below + np.searchsorted(ordered, values, side="right")) / 2)
