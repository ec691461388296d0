"""Exact multi-label classification scores over the known labels.

They are computed in float64 once per epoch, on the CPU because not every accelerator supports float64.
"""

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from mmpkd.numerics.precision import Float32Buffers


def auroc(preds: Tensor, target: Tensor) -> Tensor:
    """Return the area under the ROC curve per class: P(positive scores higher than negative) + P(they tie) / 2.

    Args:
        preds: Float (N, K), probabilities, or any scores without NaN.
        target: Float (N, K): 1, 0, or NaN if unknown.

    Returns:
        Float64 (K,), on the CPU; NaN for a class without positives or without negatives.

    Raises:
        ValueError: If shapes differ or a prediction is NaN.

    Example:
        >>> import torch
        >>> preds = torch.tensor([[0.1], [0.4], [0.35], [0.8]])
        >>> target = torch.tensor([[0.0], [0.0], [1.0], [1.0]])
        >>> auroc(preds, target)  # 3 of 4 pairs are in order
        tensor([0.7500], dtype=torch.float64)
    """
    scores, positive, negative = _columns(preds, target)
    # samples that are not negative become infinite, so they are never counted below a score
    negatives = scores.masked_fill(~negative, torch.inf).sort(dim=1).values  # (K, N)
    below = torch.searchsorted(negatives, scores, right=False)  # (K, N), negatives below each score
    not_above = torch.searchsorted(negatives, scores, right=True)
    # a negative below a positive is counted twice, a tie once
    wins = ((below + not_above) * positive).sum(1).double() / 2
    return wins / (positive.sum(1) * negative.sum(1)).double().masked_fill(_undefined(positive, negative), torch.nan)


def average_precision(preds: Tensor, target: Tensor) -> Tensor:
    """Return the area under the precision-recall curve per class, as a step function.

    This is the mean, over positives, of the precision at the threshold equal to their score.

    Args:
        preds: Float (N, K), probabilities, or any scores without NaN.
        target: Float (N, K): 1, 0, or NaN if unknown.

    Returns:
        Float64 (K,), on the CPU; NaN for a class without positives or without negatives.

    Raises:
        ValueError: If shapes differ or a prediction is NaN.

    Example:
        >>> import torch
        >>> preds = torch.tensor([[0.1], [0.4], [0.35], [0.8]])
        >>> target = torch.tensor([[0.0], [0.0], [1.0], [1.0]])
        >>> average_precision(preds, target)  # precision 1 at 0.8, 2/3 at 0.35
        tensor([0.8333], dtype=torch.float64)
    """
    scores, positive, negative = _columns(preds, target)
    num_hits = _num_at_least(scores, positive)  # (K, N)
    num_predicted = _num_at_least(scores, positive | negative)
    precision = num_hits.double() / num_predicted.clamp_min(1)
    total = positive.sum(1).double().masked_fill(_undefined(positive, negative), torch.nan)
    return (precision * positive).sum(1) / total


def f1_score(preds: Tensor, target: Tensor, threshold: Tensor) -> Tensor:
    """Return the F1 score per class, the harmonic mean of precision and recall. Scores >= threshold are predicted positive.

    Args:
        preds: Float (N, K), probabilities, or any scores without NaN.
        target: Float (N, K): 1, 0, or NaN if unknown.
        threshold: Float (K,).

    Returns:
        Float64 (K,), on the CPU; NaN for a class without positives or without negatives.

    Raises:
        ValueError: If shapes differ or a prediction is NaN.

    Example:
        >>> import torch
        >>> preds = torch.tensor([[0.1], [0.4], [0.35], [0.8]])
        >>> target = torch.tensor([[0.0], [0.0], [1.0], [1.0]])
        >>> f1_score(preds, target, torch.tensor([0.5]))  # precision 1, recall 1/2
        tensor([0.6667], dtype=torch.float64)
    """
    scores, positive, negative = _columns(preds, target)
    predicted = (scores >= threshold.cpu()[:, None]) & (positive | negative)  # (K, N)
    num_hits = (predicted & positive).sum(1).double()
    total = (predicted.sum(1) + positive.sum(1)).double()
    return 2 * num_hits / total.masked_fill(_undefined(positive, negative), torch.nan)


def best_f1_threshold(preds: Tensor, target: Tensor) -> Tensor:
    """Return the score with the highest F1 when used as threshold, per class; the highest one if several tie.

    On the same samples, the F1 at this threshold is optimistic. Choose it on the validation split and use it on others.

    Args:
        preds: Float (N, K), probabilities, or any scores without NaN.
        target: Float (N, K): 1, 0, or NaN if unknown.

    Returns:
        Float (K,), on the CPU; 0.5 for a class without positives or without negatives.

    Raises:
        ValueError: If shapes differ or a prediction is NaN.

    Example:
        >>> import torch
        >>> preds = torch.tensor([[0.1], [0.4], [0.35], [0.8]])
        >>> target = torch.tensor([[0.0], [0.0], [1.0], [1.0]])
        >>> best_f1_threshold(preds, target)
        tensor([0.3500])
    """
    scores, positive, negative = _columns(preds, target)
    is_known = positive | negative
    num_predicted = _num_at_least(scores, is_known)  # (K, N)
    num_hits = _num_at_least(scores, positive)
    f1 = 2 * num_hits.double() / (num_predicted + positive.sum(1, keepdim=True)).clamp_min(1)
    f1 = f1.masked_fill(~is_known, -1.0)
    # several scores may share the highest F1; the largest of them is chosen
    best = f1 >= f1.max(dim=1, keepdim=True).values
    threshold = scores.masked_fill(~best, -torch.inf).max(dim=1).values
    return threshold.masked_fill(_undefined(positive, negative), 0.5)


def expected_calibration_error(preds: Tensor, target: Tensor, num_bins: int = 15) -> Tensor:
    """Return the expected calibration error (ECE) per class, over bins of equal width.

    It is the mean distance between predicted probability and observed frequency in a bin, weighted by the bin's count.

    Source: Guo et al. 2017, https://arxiv.org/abs/1706.04599, eq. 3, applied to the probability that a label is positive.

    Args:
        preds: Float (N, K), probabilities in [0, 1].
        target: Float (N, K): 1, 0, or NaN if unknown.
        num_bins: Number of bins.

    Returns:
        Float64 (K,) in [0, 1], on the CPU; NaN for a class without known labels.

    Raises:
        ValueError: If shapes differ or a prediction is NaN.

    Example:
        >>> import torch
        >>> expected_calibration_error(torch.tensor([[0.9], [0.9]]), torch.tensor([[1.0], [0.0]]))  # 0.9 against 1/2
        tensor([0.4000], dtype=torch.float64)
    """
    scores, positive, negative = _columns(preds, target)
    is_known = positive | negative
    index = (scores * num_bins).long().clamp(0, num_bins - 1)  # (K, N)
    difference = (scores.double() - positive.double()) * is_known
    # a bin's count times |mean probability - frequency| is the absolute value of its summed differences
    gap = torch.zeros(len(scores), num_bins, dtype=torch.float64).scatter_add(1, index, difference)  # (K, bins)
    num_known = is_known.sum(1)
    return gap.abs().sum(1) / num_known.double().masked_fill(num_known == 0, torch.nan)


class MultilabelScores(Float32Buffers, Metric):  # type: ignore[misc]
    """AUROC, average precision (AUPRC), F1 and ECE of K labels, exact over all samples of all processes.

    Args:
        num_classes: Number of labels K.

    Attributes:
        thresholds: Float (K,), thresholds of F1. A module sets them to the best ones on the validation split.

    Example:
        >>> import torch
        >>> scores = MultilabelScores(num_classes=1)
        >>> scores.update(torch.tensor([[0.1], [0.4]]), torch.tensor([[0.0], [0.0]]))
        >>> scores.update(torch.tensor([[0.35], [0.8]]), torch.tensor([[1.0], [1.0]]))
        >>> scores.compute()["auroc_macro"]
        tensor(0.7500)
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
            target: Float (B, K): 1, 0, or NaN if unknown.

        Raises:
            ValueError: If the shapes do not fit.
        """
        if preds.shape != target.shape or preds.ndim != 2 or preds.shape[1] != self.num_classes:
            raise ValueError(
                f"Expected `preds` and `target` of shape (B, {self.num_classes}) but got {tuple(preds.shape)} and "
                f"{tuple(target.shape)}."
            )
        self.preds.append(preds.detach().float())
        self.target.append(target.detach().float())

    def compute(self) -> dict[str, Tensor]:
        """Compute all scores.

        Returns:
            `auroc`, `auprc`, `f1` and `ece`, float32 (K,), NaN where undefined; their means over the defined classes,
            `auroc_macro` etc.; `num_classes_evaluated`; and `best_thresholds` (K,), the thresholds with the highest F1.
        """
        # a list of batches; torchmetrics joins the lists of several processes into one tensor
        if len(self.preds):
            preds = dim_zero_cat(self.preds)
            target = dim_zero_cat(self.target)
        else:
            preds = target = torch.zeros(0, self.num_classes, device=self.device)
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
    """Return scores and masks of positives and negatives, each (K, N) on the CPU."""
    if preds.shape != target.shape or preds.ndim != 2:
        raise ValueError(
            f"Expected `preds` and `target` of one shape (N, K) but got {tuple(preds.shape)} and {tuple(target.shape)}."
        )
    preds = preds.cpu()
    target = target.cpu()
    if preds.isnan().any():
        raise ValueError(
            f"Expected predictions without NaN but {int(preds.isnan().sum())} are NaN: the model diverged."
        )
    columns = target.T.contiguous()
    return preds.T.contiguous(), columns == 1, columns == 0


def _undefined(positive: Tensor, negative: Tensor) -> Tensor:
    """Return which classes lack positives or negatives, bool (K,)."""
    return ~(positive.any(1) & negative.any(1))


def _num_at_least(scores: Tensor, chosen: Tensor) -> Tensor:
    """Return how many chosen scores of the same class are at least as large as each score, int64 (K, N)."""
    ordered = scores.masked_fill(~chosen, -torch.inf).sort(dim=1).values
    return scores.shape[1] - torch.searchsorted(ordered, scores, right=False)
