"""Paired, patient-clustered bootstrap of a difference in AUROC."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmpkd.statistics.effects import Effect, effect_of
from mmpkd.statistics.resampling import NUM_REPLICATES, Floats, SeedReplicates, resampled_weights


@dataclass(frozen=True)
class AurocDifferences:
    """Differences in AUROC between two arms.

    Attributes:
        estimate: (S, K) of S seeds and K findings; NaN for a finding that cannot be scored.
        replicates: (R, S, K) on resampled patients, the same patients for all seeds, findings and both arms.
        num_patients: Number of patients with a stated target.
    """

    estimate: Floats
    replicates: Floats
    num_patients: int

    def effect(self, finding: int | None = None) -> Effect:
        """Return the difference of one finding, or macro-averaged over the findings that can be scored; NaN for none."""
        chosen = slice(None) if finding is None else slice(finding, finding + 1)
        scored = ~np.isnan(self.estimate[:, chosen]).any(axis=0)
        if not scored.any():
            return Effect(np.nan, np.nan, np.nan)
        values = self.estimate[:, chosen][:, scored].mean(axis=1)
        replicates = self.replicates[:, :, chosen][:, :, scored].mean(axis=2)
        return effect_of(SeedReplicates(values, replicates, np.empty((0, len(values))), self.num_patients))


def auroc_differences(
    arm: Floats,
    reference: Floats,
    target: Floats,
    patient: NDArray[np.int64],
    num_replicates: int = NUM_REPLICATES,
    seed: int = 0,
) -> AurocDifferences:
    """Bootstrap AUROC(arm) - AUROC(reference) over patients.

    Patients are drawn with replacement and keep all of their images; both arms see the same draw, which is what makes the
    comparison paired (Obuchowski 1997, Biometrics 53(2), https://doi.org/10.2307/2533958, for clustered ROC data). A
    replicate in which a finding has no positive or no negative is NaN for that finding.

    Args:
        arm: (S, N, K) scores of S runs for N images and K findings.
        reference: (S, N, K) scores of the other arm, for the same images.
        target: (N, K): 1, 0, or NaN for not stated.
        patient: (N,) patient of each image, as integers from 0.
        num_replicates: Number of resamples R.
        seed: Seed of the resampling.

    Returns:
        Estimates and replicates.

    Raises:
        ValueError: If the shapes do not fit.
    """
    if arm.shape != reference.shape or arm.shape[1:] != target.shape or patient.shape != target.shape[:1]:
        raise ValueError(
            "Expected `arm` and `reference` (S, N, K), `target` (N, K) and `patient` (N,) but got "
            f"{arm.shape}, {reference.shape}, {target.shape} and {patient.shape}."
        )
    num_seeds, _, num_findings = arm.shape
    weights = resampled_weights(int(patient.max()) + 1, num_replicates, seed)
    estimate = np.full((num_seeds, num_findings), np.nan)
    replicates = np.full((num_replicates, num_seeds, num_findings), np.nan)
    for k in range(num_findings):
        stated = ~np.isnan(target[:, k])
        positive = target[stated, k] > 0.5
        if not positive.any() or positive.all():
            continue
        # the first weighting is that of all patients once
        drawn = np.concatenate([np.ones((1, stated.sum())), weights[:, patient[stated]]])
        differences = _differences(arm[:, stated, k], reference[:, stated, k], positive, drawn)
        estimate[:, k] = differences[:, 0]
        replicates[:, :, k] = differences[:, 1:].T
    with_target = patient[~np.isnan(target).all(axis=1)]
    return AurocDifferences(estimate, replicates, len(np.unique(with_target)))


def _differences(arm: Floats, reference: Floats, positive: NDArray[np.bool_], weights: Floats) -> Floats:
    """Return the differences (S, R) of S runs (S, n) for one finding, under R weightings (R, n)."""
    pairs = zip(arm, reference, strict=True)
    return np.stack([weighted_auroc(a, positive, weights) - weighted_auroc(b, positive, weights) for a, b in pairs])


def weighted_auroc(preds: Floats, positive: NDArray[np.bool_], weights: Floats) -> Floats:
    """Return the AUROC under each of R weightings of the images; a tie counts half.

    Args:
        preds: (n,) scores.
        positive: (n,) whether an image is positive.
        weights: (R, n) how often each image counts.

    Returns:
        (R,) values in [0, 1]; NaN without positives or negatives.
    """
    order = np.argsort(preds, kind="stable")
    preds = preds[order]
    positive = positive[order]
    weights = weights[:, order]
    negatives = np.zeros((len(weights), len(preds) + 1))
    np.cumsum(weights * ~positive, axis=1, out=negatives[:, 1:])
    first = np.searchsorted(preds, preds[positive], side="left")
    last = np.searchsorted(preds, preds[positive], side="right")
    own = weights[:, positive]
    ordered = np.einsum("rn,rn->r", own, negatives[:, first] + negatives[:, last]) / 2
    total = own.sum(axis=1) * negatives[:, -1]
    return np.asarray(ordered / np.where(total > 0, total, np.nan))
