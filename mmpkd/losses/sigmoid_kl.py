"""Sigmoid KL divergence: knowledge distillation for independent labels."""

from torch import Tensor
from torch.nn import functional as F

from mmpkd.losses.base import PerSampleLoss, check_logits, check_temperature
from mmpkd.students.output import ModelOutput


class SigmoidKLDivergence(PerSampleLoss):
    """Mean binary KL divergence over labels, at a temperature.

    With p = sigmoid(t / T) and q = sigmoid(s / T), the loss of a label is T^2 [p log(p / q) + (1 - p) log((1 - p) /
    (1 - q))]. This is Hinton's loss on K independent two-class problems, since sigmoid(z / T) = softmax([z, 0] / T). Its
    gradient with respect to s is T (q - p) / K. A softmax over labels would be wrong here: it cannot express "no finding",
    makes findings compete, and does not change when all logits of a sample are shifted.

    Sources: Hinton et al. 2015, https://arxiv.org/abs/1503.02531, eq. 1 to 4; Yang et al. 2023,
    https://arxiv.org/abs/2308.06453, eq. 4 (per-label binary KL).

    Args:
        temperature: T > 0.

    Raises:
        ValueError: If the temperature is not positive.

    Example:
        >>> import torch
        >>> student = ModelOutput(logits=torch.tensor([[0.0]]), features=torch.zeros(1, 1))
        >>> teacher = ModelOutput(logits=torch.tensor([[1.098612]]), features=torch.zeros(1, 1))
        >>> SigmoidKLDivergence()(student, teacher, available=torch.tensor([True]))  # p = 3/4, q = 1/2
        tensor(0.1308)
    """

    softens = True

    def __init__(self, temperature: float = 1.0) -> None:
        super().__init__()
        self.temperature = check_temperature(temperature)

    def per_sample(self, student: ModelOutput, teacher: ModelOutput) -> Tensor:
        """Return the mean over labels of the scaled binary KL divergence, float32 (B,)."""
        check_logits(student, teacher)
        s = student.logits / self.temperature  # (B, K)
        t = teacher.logits / self.temperature
        p = t.sigmoid()
        # log-sigmoids stay finite where log(sigmoid(x)) would be log(0)
        positive = p * (F.logsigmoid(t) - F.logsigmoid(s))
        negative = (1 - p) * (F.logsigmoid(-t) - F.logsigmoid(-s))
        return self.temperature**2 * (positive + negative).mean(dim=1)
