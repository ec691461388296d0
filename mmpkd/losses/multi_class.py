"""A loss for multi-class problems only, and the reasons why other well-known losses are missing here."""

from torch import Tensor
from torch.nn import functional as F

from mmpkd.losses.base import PerSampleLoss, check_logits, check_temperature
from mmpkd.students.output import ModelOutput

SOFTMAX_IS_WRONG = (
    "A softmax over labels is wrong for multi-label problems: it does not change when all logits of a sample are shifted, so "
    "'everything absent' and 'everything present' can look the same; its gradient sums to 0 over labels; findings that occur "
    "together compete; and it cannot express 'no finding'. Use mmpkd.losses.SigmoidKLDivergence."
)
# losses that users may look for, by their usual class names
UNSUITABLE = {
    "AttentionTransfer": "Attention transfer (Zagoruyko and Komodakis 2017, https://arxiv.org/abs/1612.03928) compares maps over "
    "the image, which a teacher on text or tables does not have. It would also train the maps that localization is scored on. "
    "Use SimilarityPreserving or CosineFeatureLoss.",
    "DecoupledKnowledgeDistillation": "Decoupled knowledge distillation (Zhao et al. 2022, https://arxiv.org/abs/2203.08679) is "
    "for multi-class problems. A binary label has only one non-target class, so the non-target part of the loss is always 0 and "
    "the rest is the sigmoid KL divergence. Use SigmoidKLDivergence.",
}


class SoftmaxKLDivergence(PerSampleLoss):
    """Hinton's loss T^2 KL(softmax(t / T) || softmax(s / T)), for problems with exactly one class per sample.

    `Objective` is multi-label and refuses it.

    Source: Hinton et al. 2015, https://arxiv.org/abs/1503.02531, eq. 1 to 4.

    Args:
        temperature: T > 0.

    Raises:
        ValueError: If the temperature is not positive.

    Example:
        >>> import torch
        >>> student = ModelOutput(logits=torch.zeros(1, 2), features=torch.zeros(1, 1))
        >>> teacher = ModelOutput(logits=torch.tensor([[0.75, 0.25]]).log(), features=torch.zeros(1, 1))
        >>> SoftmaxKLDivergence()(student, teacher, available=torch.tensor([True]))  # log 2 - entropy of the teacher
        tensor(0.1308)
    """

    multi_class = True
    softens = True

    def __init__(self, temperature: float = 1.0) -> None:
        super().__init__()
        self.temperature = check_temperature(temperature)

    def per_sample(self, student: ModelOutput, teacher: ModelOutput) -> Tensor:
        """Return the scaled KL divergence, float32 (B,)."""
        check_logits(student, teacher)
        s = F.log_softmax(student.logits / self.temperature, dim=1)  # (B, K)
        t = F.log_softmax(teacher.logits / self.temperature, dim=1)
        return self.temperature**2 * (t.exp() * (t - s)).sum(dim=1)
