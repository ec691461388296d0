"""Losses that compare the samples of a batch with each other. Student and teacher features may differ in width."""

import torch
from torch import Tensor
from torch.nn import functional as F

from mmpkd.losses.base import DistillationLoss
from mmpkd.numerics.precision import Float32Linear
from mmpkd.students.output import ModelOutput

# keeps roots, quotients and their gradients finite at 0
EPS = 1e-6


class RelationalDistance(DistillationLoss):
    """Huber loss between the pairwise distances of student and teacher, each divided by their mean (RKD-D).

    Source: Park et al. 2019, https://arxiv.org/abs/1904.05068, eq. 4 to 6. The paper uses a weight of 25.

    Example:
        >>> import torch
        >>> features = torch.tensor([[0.0, 0.0], [3.0, 4.0], [6.0, 8.0]])
        >>> student = ModelOutput(logits=torch.zeros(3, 1), features=features)
        >>> teacher = ModelOutput(logits=torch.zeros(3, 1), features=10 * features)  # the scale has no influence
        >>> RelationalDistance()(student, teacher, available=torch.ones(3, dtype=torch.bool)).item() < 1e-6
        True
    """

    needs_features = True

    def reduce(self, student: ModelOutput, teacher: ModelOutput, available: Tensor) -> Tensor:
        """Return the mean over pairs of different samples, float32 scalar; 0 if there is no pair."""
        pair = _pairs(available)
        first, second = (_distances(output.features, pair) for output in (student, teacher))  # (B, B) each
        # a Huber loss with threshold 1, as in the paper
        losses = F.smooth_l1_loss(first, second, reduction="none")
        return (losses * pair).sum() / pair.sum().clamp(min=1)


class SimilarityPreserving(DistillationLoss):
    """Mean squared difference between the similarity matrices of student and teacher, whose rows have unit norm (SP).

    Source: Tung and Mori 2019, https://arxiv.org/abs/1907.09682, eq. 2 to 4.

    Example:
        >>> import torch
        >>> student = ModelOutput(logits=torch.zeros(2, 1), features=torch.tensor([[1.0, 0.0], [1.0, 0.0]]))  # equal
        >>> teacher = ModelOutput(logits=torch.zeros(2, 1), features=torch.tensor([[1.0, 0.0], [0.0, 1.0]]))  # orthogonal
        >>> loss = SimilarityPreserving()(student, teacher, available=torch.tensor([True, True]))
        >>> loss  # rows (1, 1) / sqrt(2) against (1, 0) and (0, 1): 2 (2 - sqrt(2)) / 4
        tensor(0.2929)
    """

    needs_features = True

    def reduce(self, student: ModelOutput, teacher: ModelOutput, available: Tensor) -> Tensor:
        """Return the sum of squares divided by the number of pairs, float32 scalar."""
        first, second = (self._similarity(output.features, available) for output in (student, teacher))  # (B, B) each
        return (first - second).square().sum() / available.sum().clamp(min=1).square()

    def _similarity(self, features: Tensor, available: Tensor) -> Tensor:
        features = features * available[:, None]
        # divided by the root mean square norm, so that the squared Gram matrix of large features does not overflow
        features = features / (features.square().sum() / available.sum().clamp(min=1) + EPS).sqrt()
        gram = features @ features.T  # (B, B)
        return gram * torch.rsqrt(gram.square().sum(dim=1, keepdim=True) + EPS**2)


class CenteredKernelAlignment(DistillationLoss):
    """One minus CKA, with linear kernels and the unbiased estimator of HSIC.

    In small batches, the biased estimator is close to 1 even for independent features (0.89 for 64 samples of widths 384 and
    768), which leaves nothing to learn. The unbiased one is 0 in expectation.

    Sources: Kornblith et al. 2019, https://arxiv.org/abs/1905.00414, eq. 1 and 2; Nguyen et al. 2021,
    https://arxiv.org/abs/2010.15327, eq. 2 and 3 (unbiased, minibatch).

    Example:
        >>> import torch
        >>> features = torch.tensor([[0.0], [1.0], [3.0], [4.0], [7.0]])
        >>> student = ModelOutput(logits=torch.zeros(5, 1), features=features)
        >>> teacher = ModelOutput(logits=torch.zeros(5, 1), features=1 - 2 * features)  # shift, scale and sign do not matter
        >>> loss = CenteredKernelAlignment()(student, teacher, available=torch.ones(5, dtype=torch.bool))
        >>> abs(loss.item()) < 1e-4
        True
    """

    needs_features = True

    def reduce(self, student: ModelOutput, teacher: ModelOutput, available: Tensor) -> Tensor:
        """Return the loss, float32 scalar, in [0, 2] up to estimation noise; 0 for fewer than four samples."""
        n = available.sum().to(torch.float32)
        k, ell = (self._kernel(output.features, available) for output in (student, teacher))  # (B, B) each
        # in a small batch, the unbiased estimate can be negative even for a kernel with itself
        scale = (self._hsic(k, k, n).clamp(min=EPS) * self._hsic(ell, ell, n).clamp(min=EPS)).sqrt()
        return torch.where(n >= 4, 1 - self._hsic(k, ell, n) / scale, 0.0)

    def _kernel(self, features: Tensor, available: Tensor) -> Tensor:
        """Return the Gram matrix (B, B) of centred and scaled features, with a zero diagonal."""
        weight = available.to(features.dtype)[:, None]  # (B, 1)
        count = weight.sum().clamp(min=1)
        centred = (features - (features * weight).sum(dim=0) / count) * weight
        centred = centred * torch.rsqrt(centred.square().sum() / count + EPS)
        gram = centred @ centred.T
        # the unbiased estimator leaves out the products of a sample with itself
        return gram - torch.diag(gram.diagonal())

    def _hsic(self, k: Tensor, ell: Tensor, n: Tensor) -> Tensor:
        """Return the unbiased HSIC of two Gram matrices with zero diagonals, for n samples; scalar."""
        # clamped: `where` in `reduce` discards values of fewer than four samples, but their NaN would reach the gradient
        one, two, three = ((n - i).clamp(min=1) for i in (1, 2, 3))
        trace = (k * ell).sum()
        total = k.sum() * ell.sum() / (one * two)
        # 1' K L 1, without the product of the two matrices
        cross = (k.sum(dim=0) * ell.sum(dim=0)).sum() * 2 / two
        return (trace + total - cross) / (n.clamp(min=1) * three)


class InfoNCE(DistillationLoss):
    """Symmetric contrastive loss between projected student features and teacher features.

    The positive pair is a sample's own student and teacher features. The negatives are the other samples of the batch, except
    those with nearly the same teacher features, such as two reports without any finding.

    Sources: van den Oord et al. 2018, https://arxiv.org/abs/1807.03748, eq. 4; Radford et al. 2021,
    https://arxiv.org/abs/2103.00020 (symmetric).

    Args:
        tau: Temperature of the similarities, > 0.
        duplicate: Cosine similarity of teacher features above which two samples are not negatives of each other.

    Raises:
        ValueError: If `tau` is not positive.

    Example:
        >>> import torch
        >>> loss = InfoNCE(tau=1.0)
        >>> loss.build(student_features=2, teacher_features=2)
        >>> _ = torch.nn.init.eye_(loss.projection.weight)
        >>> _ = torch.nn.init.zeros_(loss.projection.bias)
        >>> features = torch.eye(2)
        >>> student = ModelOutput(logits=torch.zeros(2, 1), features=features)
        >>> teacher = ModelOutput(logits=torch.zeros(2, 1), features=features)
        >>> loss(student, teacher, available=torch.tensor([True, True])).item()  # log(1 + 1/e)
        0.3133
    """

    needs_features = True

    def __init__(self, tau: float = 0.1, duplicate: float = 0.98) -> None:
        super().__init__()
        if not tau > 0:
            raise ValueError(f"Expected tau > 0 but got {tau}.")
        self.tau = tau
        self.duplicate = duplicate

    def build(self, student_features: int, teacher_features: int) -> None:
        """Create the projection of the student's features."""
        self.projection = Float32Linear(student_features, teacher_features)

    def reduce(self, student: ModelOutput, teacher: ModelOutput, available: Tensor) -> Tensor:
        """Return the mean over samples of both cross-entropies, float32 scalar."""
        first = _unit(self.projection(student.features))  # (B, E)
        second = _unit(teacher.features)  # (B, E)
        own = torch.eye(len(first), dtype=torch.bool, device=first.device)
        excluded = (second @ second.T > self.duplicate) | ~(available[:, None] & available[None, :])  # (B, B)
        # the positive pair is never excluded, so no row is -inf everywhere
        similarity = (first @ second.T / self.tau).masked_fill(excluded & ~own, -torch.inf)
        target = torch.arange(len(first), device=first.device)
        losses = [F.cross_entropy(matrix, target, reduction="none") for matrix in (similarity, similarity.T)]
        weight = available.to(first.dtype)
        return ((losses[0] + losses[1]) / 2 * weight).sum() / weight.sum().clamp(min=1)


class SigmoidDIST(DistillationLoss):
    """One minus the correlation of student and teacher probabilities, over the batch and over the labels of each sample (DIST).

    The correlation over the batch looks at the same ranking of samples as AUROC. The correlation over labels does not change
    when all probabilities of a sample are shifted or scaled, so it is never used alone.

    Source: Huang et al. 2022, https://arxiv.org/abs/2205.10536, eq. 6 to 10, with a sigmoid instead of the softmax.

    Args:
        temperature: T > 0; the loss is multiplied by its square.
        over_batch: Weight of the correlation over the batch, > 0.
        over_labels: Weight of the correlation over labels, >= 0. It needs more than one label.
        min_samples: Minimum number of samples for the correlation over the batch.

    Raises:
        ValueError: If an argument is out of range.

    Example:
        >>> import torch
        >>> student = ModelOutput(logits=torch.tensor([[-1.0], [0.0], [1.0]]), features=torch.zeros(3, 1))
        >>> teacher = ModelOutput(logits=torch.tensor([[1.0], [0.0], [-1.0]]), features=torch.zeros(3, 1))
        >>> loss = SigmoidDIST(min_samples=3)
        >>> loss(student, teacher, available=torch.ones(3, dtype=torch.bool)) > 1.99  # the order is reversed
        tensor(True)
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
        """Return the weighted sum of both, float32 scalar. Constant labels and constant samples are left out."""
        first, second = ((output.logits / self.temperature).sigmoid() for output in (student, teacher))
        weight = available.to(first.dtype)[:, None]  # (B, 1)
        # a factor, not an `if`, which would wait for the device
        enough = (available.sum() >= self.min_samples).to(first.dtype)
        loss = self.over_batch * enough * _one_minus_correlation(first.T, second.T, weight.T)
        if self.over_labels:
            ones = torch.ones_like(first) * weight
            loss = loss + self.over_labels * _one_minus_correlation(first, second, ones)
        return self.temperature**2 * loss


def _one_minus_correlation(first: Tensor, second: Tensor, weight: Tensor) -> Tensor:
    """Return the mean of 1 - Pearson correlation over the rows that vary in both matrices.

    Args:
        first: Float (R, C).
        second: Float (R, C).
        weight: 1 for columns to use and 0 for others, broadcast to (R, C).

    Returns:
        Scalar; 0 if no row varies in both.
    """
    count = weight.sum(dim=1, keepdim=True).clamp(min=1)
    centred = [(x - (x * weight).sum(dim=1, keepdim=True) / count) * weight for x in (first, second)]
    variance = [x.square().sum(dim=1) / count[:, 0] for x in centred]
    varies = ((variance[0] > 1e-8) & (variance[1] > 1e-8)).to(first.dtype)
    covariance = (centred[0] * centred[1]).sum(dim=1) / count[:, 0]
    # 1e-18, below the 1e-16 of two variances that just count: keeps the gradient of constant rows finite
    correlation = covariance * torch.rsqrt(variance[0] * variance[1] + EPS**3)
    return ((1 - correlation) * varies).sum() / varies.sum().clamp(min=1)


def _pairs(available: Tensor) -> Tensor:
    """Return float32 (B, B): 1 for pairs of different samples that both have a teacher, and 0 for others."""
    pair = (available[:, None] & available[None, :]).to(torch.float32)
    return pair - torch.diag(pair.diagonal())


def _distances(features: Tensor, pair: Tensor) -> Tensor:
    """Return the Euclidean distances of pairs divided by their mean, (B, B); 0 where `pair` is 0.

    The Gram matrix avoids a tensor (B, B, D). Features are centred and scaled first, which keeps rounding errors of the
    differences small.
    """
    present = (pair.sum(dim=1, keepdim=True) > 0).to(features.dtype)  # (B, 1)
    count = present.sum().clamp(min=1)
    centred = (features - (features * present).sum(dim=0) / count) * present
    centred = centred * torch.rsqrt(centred.square().sum() / count + EPS**2)
    squares = centred.square().sum(dim=1)  # (B,)
    squared = (squares[:, None] + squares[None, :] - 2 * centred @ centred.T).clamp(min=0)  # (B, B)
    # the gradient of sqrt is infinite at 0
    distance = (squared + EPS).sqrt() * pair
    return distance / (distance.sum() / pair.sum().clamp(min=1) + EPS)


def _unit(x: Tensor) -> Tensor:
    """Return rows (B, D) scaled to unit norm, with a bounded gradient at zero."""
    return x * torch.rsqrt(x.square().sum(dim=1, keepdim=True) + EPS)
