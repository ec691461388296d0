"""AUROC of an arm, and its difference between two arms, over runs and patients."""

import numpy as np
from numpy.typing import NDArray

from mmpkd.statistics.arrays import Codes, Floats
from mmpkd.statistics.effects import UNDEFINED, Effect, effect_of
from mmpkd.statistics.estimands import RunMeans

Bools = NDArray[np.bool_]


def auroc_difference(arm: Floats, reference: Floats, target: Floats, patient: Codes) -> Effect:
    """Return AUROC(arm) - AUROC(reference), averaged over the findings that have one.

    Both arms predict the same images, so each patient is left out of both at once (the jackknife of clustered ROC curves;
    for single images it is DeLong's variance but for terms of order 1 / N).

    Args:
        arm: (S, N, K) scores of S runs for N images and K findings.
        reference: (S, N, K) scores of the other arm, for the same images.
        target: (N, K): 1, 0, or NaN for not stated.
        patient: (N,) patient of each image, as integers from 0.

    Returns:
        Effect; not defined if no finding has positives and negatives in two patients or more.

    Raises:
        ValueError: If the shapes do not fit.

    Example:
        >>> target = np.tile([[0.0], [1.0]], (10, 1))
        >>> good, bad = np.tile(target, (2, 1, 1)), np.zeros((2, 20, 1))
        >>> auroc_difference(good, bad, target, np.arange(20)).estimate
        0.5
    """
    if arm.shape != reference.shape or arm.shape[1:] != target.shape or patient.shape != target.shape[:1]:
        raise ValueError(
            "Expected `arm` and `reference` (S, N, K), `target` (N, K) and `patient` (N,) but got "
            f"{arm.shape}, {reference.shape}, {target.shape} and {patient.shape}."
        )
    own, other = (_by_finding(preds, target, patient) for preds in (arm, reference))
    found = [RunMeans(a.values - b.values, a.without - b.without, a.weights) for a, b in zip(own, other, strict=True)]
    return _over_findings(found)


def mean_auroc(preds: Floats, target: Floats, patient: Codes) -> Effect:
    """Return the AUROC, averaged over the findings that have one.

    Args:
        preds: (S, N, K) scores of S runs for N images and K findings.
        target: (N, K): 1, 0, or NaN for not stated.
        patient: (N,) patient of each image, as integers from 0.

    Returns:
        Effect; not defined if no finding has positives and negatives in two patients or more.

    Example:
        >>> target = np.tile([[0.0], [1.0]], (10, 1))
        >>> mean_auroc(target[None], target, np.arange(20)).estimate
        1.0
    """
    return _over_findings(_by_finding(preds, target, patient))


def _over_findings(found: list[RunMeans]) -> Effect:
    """Return the mean over the findings that are defined without any one patient."""
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
    stated = ~np.isnan(target).all(axis=1)
    codes = np.unique(patient[stated], return_inverse=True)[1]
    return [_of_finding(preds[:, stated, k], target[stated, k], codes) for k in range(target.shape[1])]


def _of_finding(preds: Floats, target: Floats, patient: Codes) -> RunMeans:
    num_patients = int(patient.max(initial=0)) + 1
    stated = ~np.isnan(target)
    positive = target[stated] > 0.5
    codes = patient[stated]
    values = np.stack([_leaving_out(run, positive, codes, num_patients) for run in preds[:, stated]])
    shares = [np.bincount(codes[own], minlength=num_patients) / max(own.sum(), 1) for own in (positive, ~positive)]
    return RunMeans(values[:, 0], values[:, 1:], np.mean(shares, axis=0))


def _leaving_out(preds: Floats, positive: Bools, patient: Codes, num_patients: int) -> Floats:
    """Return the AUROC of all images, and then without each patient, (1 + P,); NaN without positives or negatives."""
    ranks = np.unique(preds, return_inverse=True)[1]
    case = ranks[positive]
    control = ranks[~positive]
    own_case = np.bincount(patient[positive], _wins(case, np.sort(control)), num_patients)
    own_control = np.bincount(patient[~positive], len(case) - _wins(control, np.sort(case)), num_patients)
    # ranks of a patient lie in a range of their own, which leaves the pairs within patients
    within = ranks + patient * (len(preds) + 1)
    first = patient[positive] * (len(preds) + 1)
    controls = np.sort(within[~positive])
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
    """Return how many of the ordered values each value is above; a tie counts half."""
    below = np.searchsorted(ordered, values, side="left")
    return np.asarray((below + np.searchsorted(ordered, values, side="right")) / 2)
