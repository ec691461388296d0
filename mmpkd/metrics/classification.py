"""Exact multi-label classification scores that ignore labels which are not stated.

They are computed in float64, which not every accelerator has, so on the CPU, once an epoch.
"""

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from mmpkd.numerics.precision import Float32Buffers


def auroc(preds: Tensor, target: Tensor) -> Tensor:
    """Area under the ROC curve per class, exactly: P(score of a positive > of a negative) + P(equal) / 2.

    Args:
        preds: Float (N, K), probabilities, or any scores without NaN.
        target: Float (N, K): 1, 0, or NaN where not stated.

    Returns:
        Float64 (K,), on the CPU; NaN for a class without positives or without negatives.

    Raises:
        ValueError: If shapes differ or a prediction is NaN.
    """
    scores, positive, negative = _columns(preds, target)
    negatives = scores.masked_fill(~negative, torch.inf).sort(dim=1).values
    below = torch.searchsorted(negatives, scores, right=False)
    not_above = torch.searchsorted(negatives, scores, right=True)
    wins = ((below + not_above) * positive).sum(1).double() / 2
    return wins / (positive.sum(1) * negative.sum(1)).double().masked_fill(_undefined(positive, negative), torch.nan)


def average_precision(preds: Tensor, target: Tensor) -> Tensor:
    """Area under the precision-recall curve per class, as a step function: the mean over positives of the precision at
    the threshold that just admits them, equal scores being admitted together.

    Args:
        preds: Float (N, K), probabilities, or any scores without NaN.
        target: Float (N, K): 1, 0, or NaN where not stated.

    Returns:
        Float64 (K,), on the CPU; NaN for a class without positives or without negatives.

    Raises:
        ValueError: If shapes differ or a prediction is NaN.
    """  # noqa: D205
    scores, positive, negative = _columns(preds, target)
    admitted_positive = _count_at_least(scores, positive)
    admitted = _count_at_least(scores, positive | negative)
    precision = admitted_positive.double() / admitted.clamp_min(1)
    total = positive.sum(1).double().masked_fill(_undefined(positive, negative), torch.nan)
    return (precision * positive).sum(1) / total


def f1_score(preds: Tensor, target: Tensor, threshold: Tensor) -> Tensor:
    """F1 score per class: the harmonic mean of precision and recall of what scores at least the threshold.

    Args:
        preds: Float (N, K), probabilities, or any scores without NaN.
        target: Float (N, K): 1, 0, or NaN where not stated.
        threshold: Float (K,).

    Returns:
        Float64 (K,), on the CPU; NaN for a class without positives or without negatives.

    Raises:
        ValueError: If shapes differ or a prediction is NaN.
    """
    scores, positive, negative = _columns(preds, target)
    admitted = (scores >= threshold.cpu()[:, None]) & (positive | negative)
    hits = (admitted & positive).sum(1).double()
    total = (admitted.sum(1) + positive.sum(1)).double()
    return 2 * hits / total.masked_fill(_undefined(positive, negative), torch.nan)


def best_f1_threshold(preds: Tensor, target: Tensor) -> Tensor:
    """Return the score that gives the highest F1 per class if it is the threshold; the highest of several.

    It belongs to the samples that it was found on: choose it on validation samples and use it on others.

    Args:
        preds: Float (N, K), probabilities, or any scores without NaN.
        target: Float (N, K): 1, 0, or NaN where not stated.

    Returns:
        Float (K,), on the CPU; 0.5 for a class without positives or without negatives.
    """
    scores, positive, negative = _columns(preds, target)
    stated = positive | negative
    admitted = _count_at_least(scores, stated)
    f1 = 2 * _count_at_least(scores, positive).double() / (admitted + positive.sum(1, keepdim=True)).clamp_min(1)
    f1 = f1.masked_fill(~stated, -1.0)
    best = f1 >= f1.max(dim=1, keepdim=True).values
    threshold = scores.masked_fill(~best, -torch.inf).max(dim=1).values
    return threshold.masked_fill(_undefined(positive, negative), 0.5)


def expected_calibration_error(preds: Tensor, target: Tensor, bins: int = 15) -> Tensor:
    """Mean distance between probability and frequency per class, over equally wide bins of probability, weighted by count.

    Source: Guo et al. 2017, https://arxiv.org/abs/1706.04599, eq. 3, for the probability that a label is present.

    Args:
        preds: Float (N, K), probabilities in [0, 1].
        target: Float (N, K): 1, 0, or NaN where not stated.
        bins: Number of bins.

    Returns:
        Float64 (K,) in [0, 1], on the CPU; NaN for a class without any stated label.

    Raises:
        ValueError: If shapes differ or a prediction is NaN.
    """
    scores, positive, negative = _columns(preds, target)
    stated = positive | negative
    index = (scores * bins).long().clamp(0, bins - 1)
    distance = (scores.double() - positive.double()) * stated
    gap = torch.zeros(len(scores), bins, dtype=torch.float64).scatter_add(1, index, distance)
    count = stated.sum(1)
    return gap.abs().sum(1) / count.double().masked_fill(count == 0, torch.nan)


class MultilabelScores(Float32Buffers, Metric):  # type: ignore[misc]
    """AUROC, average precision (AUPRC), F1 and ECE of K labels over all samples, exact also over several processes.

    Args:
        num_classes: Number of labels K.

    Attributes:
        thresholds: Float (K,), where F1 is taken; a module sets it to the best of the validation split.
    """

    thresholds: Tensor

    full_state_update = False
    preds: list[Tensor]
    target: list[Tensor]

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.register_buffer("thresholds", torch.full((num_classes,), 0.5))
        self.add_state("preds", default=[], dist_reduce_fx="cat")
        self.add_state("target", default=[], dist_reduce_fx="cat")

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Add B samples.

        Args:
            preds: Float (B, K), probabilities in [0, 1].
            target: Float (B, K): 1, 0, or NaN where not stated.
        """
        if preds.shape != target.shape or preds.ndim != 2 or preds.shape[1] != self.num_classes:
            raise ValueError(
                f"Expected `preds` and `target` of shape (B, {self.num_classes}) but got {tuple(preds.shape)} and "
                f"{tuple(target.shape)}."
            )
        self.preds.append(preds.detach().float())
        self.target.append(target.detach().float())

    def compute(self) -> dict[str, Tensor]:
        """Return `auroc`, `auprc`, `f1` and `ece` (K,), NaN where undefined, their means `auroc_macro` and so on over the
        defined classes, `num_classes_evaluated`, and the thresholds `best_thresholds` (K,) with the highest F1.
        """  # noqa: D205
        if not len(self.preds):  # a list, or a tensor after the processes were joined
            empty = torch.zeros(0, self.num_classes, device=self.device)
            preds, target = empty, empty
        else:
            preds, target = dim_zero_cat(self.preds), dim_zero_cat(self.target)
        scores = {
            "auroc": auroc(preds, target),
            "auprc": average_precision(preds, target),
            "f1": f1_score(preds, target, self.thresholds),
            "ece": expected_calibration_error(preds, target),
        }
        scores = {name: value.float().to(self.device) for name, value in scores.items()}
        return {
            "best_thresholds": best_f1_threshold(preds, target).to(self.device) if len(preds) else self.thresholds,
            **scores,
            **{f"{name}_macro": value.nanmean() for name, value in scores.items()},
            "num_classes_evaluated": (~scores["auroc"].isnan()).sum().float(),
        }


def _columns(preds: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return scores (K, N) and which of them are positive and negative, on the CPU."""
    if preds.shape != target.shape or preds.ndim != 2:
        raise ValueError(
            f"Expected `preds` and `target` of one shape (N, K) but got {tuple(preds.shape)} and {tuple(target.shape)}."
        )
    preds, target = preds.cpu(), target.cpu()
    if preds.isnan().any():
        raise ValueError(
            f"Expected predictions without NaN but {int(preds.isnan().sum())} are NaN: the model diverged."
        )
    columns = target.T.contiguous()
    return preds.T.contiguous(), columns == 1, columns == 0


def _undefined(positive: Tensor, negative: Tensor) -> Tensor:
    return ~(positive.any(1) & negative.any(1))


def _count_at_least(scores: Tensor, chosen: Tensor) -> Tensor:
    """Count, for every score (K, N), the chosen ones of its class that are at least as large."""
    ordered = scores.masked_fill(~chosen, -torch.inf).sort(dim=1).values
    return scores.shape[1] - torch.searchsorted(ordered, scores, right=False)
