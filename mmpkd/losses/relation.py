"""Distances between the relations that samples of a batch have to each other; teacher and student may differ in width."""

import torch
from torch import Tensor
from torch.nn import functional as F

from mmpkd.losses.base import DistillationLoss
from mmpkd.numerics.precision import Float32Linear
from mmpkd.students.output import ModelOutput

EPS = 1e-6


class RelationalDistance(DistillationLoss):
    """Huber distance between pairwise distances, each in units of their mean (RKD-D).

    Source: Park et al. 2019, https://arxiv.org/abs/1904.05068, eq. 4 to 6. Used there with a weight of 25.
    """

    needs_features = True

    def reduce(self, student: ModelOutput, teacher: ModelOutput, available: Tensor) -> Tensor:
        """Return the mean over pairs of different samples; 0 if there is no pair."""
        pair = _pairs(available)
        first, second = (_distances(output.features, pair) for output in (student, teacher))
        losses = F.smooth_l1_loss(first, second, reduction="none")
        return (losses * pair).sum() / pair.sum().clamp(min=1)


class SimilarityPreserving(DistillationLoss):
    """Mean squared difference of similarity matrices whose rows have length 1 (SP).

    Source: Tung and Mori 2019, https://arxiv.org/abs/1907.09682, eq. 2 to 4.
    """

    needs_features = True

    def reduce(self, student: ModelOutput, teacher: ModelOutput, available: Tensor) -> Tensor:
        """Return the sum of squares over the number of pairs."""
        first, second = (self._similarity(output.features, available) for output in (student, teacher))
        return (first - second).square().sum() / available.sum().clamp(min=1).square()

    def _similarity(self, features: Tensor, available: Tensor) -> Tensor:
        features = features * available[:, None]
        # rows in units of the mean length: a square of large features would not fit into float32
        features = features / (features.square().sum() / available.sum().clamp(min=1) + EPS).sqrt()
        gram = features @ features.T
        return gram * torch.rsqrt(gram.square().sum(dim=1, keepdim=True) + EPS**2)


class CenteredKernelAlignment(DistillationLoss):
    """1 - CKA with linear kernels and the unbiased estimate of HSIC.

    The biased estimate says that independent features of a small batch are nearly the same (0.89 for 64 samples of widths 384
    and 768), so that there is nothing to learn; the unbiased one is 0 in expectation.

    Sources: Kornblith et al. 2019, https://arxiv.org/abs/1905.00414, eq. 1 and 2; Nguyen et al. 2021,
    https://arxiv.org/abs/2010.15327, eq. 2 and 3 (unbiased, minibatch).
    """

    needs_features = True

    def reduce(self, student: ModelOutput, teacher: ModelOutput, available: Tensor) -> Tensor:
        """Return the loss, in [0, 2] up to the noise of the estimate; 0 for fewer than four samples."""
        n = available.sum().to(torch.float32)
        k, ell = (self._kernel(output.features, available) for output in (student, teacher))
        scale = (self._hsic(k, k, n).clamp(min=EPS) * self._hsic(ell, ell, n).clamp(min=EPS)).sqrt()
        return torch.where(n >= 4, 1 - self._hsic(k, ell, n) / scale, 0.0)

    def _kernel(self, features: Tensor, available: Tensor) -> Tensor:
        """Return the Gram matrix of standardised features without its diagonal; the scale has no influence."""
        weight = available.to(features.dtype)[:, None]
        count = weight.sum().clamp(min=1)
        centred = (features - (features * weight).sum(dim=0) / count) * weight
        centred = centred * torch.rsqrt(centred.square().sum() / count + EPS)
        gram = centred @ centred.T
        return gram - torch.diag(gram.diagonal())

    def _hsic(self, k: Tensor, ell: Tensor, n: Tensor) -> Tensor:
        one, two, three = ((n - i).clamp(min=1) for i in (1, 2, 3))
        trace = (k * ell).sum()
        total = k.sum() * ell.sum() / (one * two)
        cross = (k.sum(dim=0) * ell.sum(dim=0)).sum() * 2 / two
        return (trace + total - cross) / (n.clamp(min=1) * three)


class InfoNCE(DistillationLoss):
    """Contrast of each sample's own pair of features with those of the batch, in both directions.

    Samples whose teachers say nearly the same, such as reports without any finding, are no negatives of each other.

    Sources: van den Oord et al. 2018, https://arxiv.org/abs/1807.03748, eq. 4; Radford et al. 2021,
    https://arxiv.org/abs/2103.00020 (symmetric).

    Args:
        tau: Temperature of the similarities, > 0.
        duplicate: Cosine similarity of teacher features above which two samples count as the same.
    """

    needs_features = True

    def __init__(self, tau: float = 0.1, duplicate: float = 0.98) -> None:
        super().__init__()
        if not tau > 0:
            raise ValueError(f"Expected tau > 0 but got {tau}.")
        self.tau = tau
        self.duplicate = duplicate

    def build(self, student_features: int, teacher_features: int) -> None:
        """Make the projection of the student's features."""
        self.projection = Float32Linear(student_features, teacher_features)

    def reduce(self, student: ModelOutput, teacher: ModelOutput, available: Tensor) -> Tensor:
        """Return the mean over samples of both cross-entropies."""
        first = _unit(self.projection(student.features))
        second = _unit(teacher.features)
        own = torch.eye(len(first), dtype=torch.bool, device=first.device)
        excluded = (second @ second.T > self.duplicate) | ~(available[:, None] & available[None, :])
        similarity = (first @ second.T / self.tau).masked_fill(excluded & ~own, -torch.inf)
        target = torch.arange(len(first), device=first.device)
        losses = [F.cross_entropy(matrix, target, reduction="none") for matrix in (similarity, similarity.T)]
        weight = available.to(first.dtype)
        return ((losses[0] + losses[1]) / 2 * weight).sum() / weight.sum().clamp(min=1)


class SigmoidDIST(DistillationLoss):
    """1 - correlation of probabilities: of each label over the batch, and of each sample over its labels.

    The first is what AUROC ranks. The second ignores a shift and a scale of all labels of a sample, so it is never used alone.

    Source: Huang et al. 2022, https://arxiv.org/abs/2205.10536, eq. 6 to 10, with a sigmoid instead of the softmax.

    Args:
        temperature: T > 0; the loss is multiplied by its square.
        over_batch: Weight of the correlation over the batch, > 0.
        over_labels: Weight of the correlation over labels, >= 0; there must be several labels.
        min_samples: Fewest samples that a correlation over the batch is taken of.
    """

    softens = True

    def __init__(
        self, temperature: float = 1.0, over_batch: float = 1.0, over_labels: float = 0.0, min_samples: int = 8
    ) -> None:
        super().__init__()
        if not (temperature > 0 and over_batch > 0 and over_labels >= 0 and min_samples >= 3):
            raise ValueError(
                "Expected temperature > 0, over_batch > 0, over_labels >= 0 and min_samples >= 3 but got "
                f"{temperature}, {over_batch}, {over_labels} and {min_samples}."
            )
        self.temperature = temperature
        self.over_batch = over_batch
        self.over_labels = over_labels
        self.min_samples = min_samples

    def reduce(self, student: ModelOutput, teacher: ModelOutput, available: Tensor) -> Tensor:
        """Return the weighted sum of both; labels or samples without any spread are left out."""
        first, second = ((output.logits / self.temperature).sigmoid() for output in (student, teacher))
        weight = available.to(first.dtype)[:, None]
        enough = (available.sum() >= self.min_samples).to(first.dtype)
        loss = self.over_batch * enough * _one_minus_correlation(first.T, second.T, weight.T)
        if self.over_labels:
            ones = torch.ones_like(first) * weight
            loss = loss + self.over_labels * _one_minus_correlation(first, second, ones)
        return self.temperature**2 * loss


def _one_minus_correlation(first: Tensor, second: Tensor, weight: Tensor) -> Tensor:
    """Return the mean over rows of 1 - Pearson correlation, over rows that vary in both; weights are 0 or 1."""
    count = weight.sum(dim=1, keepdim=True).clamp(min=1)
    centred = [(x - (x * weight).sum(dim=1, keepdim=True) / count) * weight for x in (first, second)]
    variance = [x.square().sum(dim=1) / count[:, 0] for x in centred]
    varies = ((variance[0] > 1e-8) & (variance[1] > 1e-8)).to(first.dtype)
    covariance = (centred[0] * centred[1]).sum(dim=1) / count[:, 0]
    correlation = covariance * torch.rsqrt(variance[0] * variance[1] + EPS**3)
    return ((1 - correlation) * varies).sum() / varies.sum().clamp(min=1)


def _pairs(available: Tensor) -> Tensor:
    """Return float32 (B, B): 1 for pairs of different available samples."""
    pair = (available[:, None] & available[None, :]).to(torch.float32)
    return pair - torch.diag(pair.diagonal())


def _distances(features: Tensor, pair: Tensor) -> Tensor:
    """Return Euclidean distances of pairs in units of their mean, (B, B); 0 for others.

    By the Gram matrix, so that no (B, B, D) exists; centred and in units of the mean length, so that little is lost in
    differences.
    """
    present = (pair.sum(dim=1, keepdim=True) > 0).to(features.dtype)
    count = present.sum().clamp(min=1)
    centred = (features - (features * present).sum(dim=0) / count) * present
    centred = centred * torch.rsqrt(centred.square().sum() / count + EPS**2)
    squares = centred.square().sum(dim=1)
    squared = (squares[:, None] + squares[None, :] - 2 * centred @ centred.T).clamp(min=0)
    distance = (squared + EPS).sqrt() * pair
    return distance / (distance.sum() / pair.sum().clamp(min=1) + EPS)


def _unit(x: Tensor) -> Tensor:
    return x * torch.rsqrt(x.square().sum(dim=1, keepdim=True) + EPS)
