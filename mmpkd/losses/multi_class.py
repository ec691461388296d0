"""A loss that is right for multi-class problems only, and why others are not offered."""

from torch import Tensor
from torch.nn import functional as F

from mmpkd.losses.base import PerSampleLoss, check_logits, check_temperature
from mmpkd.students.output import ModelOutput

SOFTMAX_IS_WRONG = (
    "A softmax over labels is wrong for multi-label problems: it ignores any shift of all logits of a sample, so that "
    "'everything absent' and 'everything present' may count as equal; its gradient sums to 0 over labels; findings that occur "
    "together compete; and 'no finding' cannot be expressed. Use mmpkd.losses.SigmoidKLDivergence."
)
# well-known losses that somebody may look for here, by the names of their classes elsewhere
UNSUITABLE = {
    "AttentionTransfer": "Attention transfer (Zagoruyko and Komodakis 2017, https://arxiv.org/abs/1612.03928) compares maps over "
    "the image, which a teacher of text or tables does not have. It would also train what localization is scored on. Use "
    "SimilarityPreserving or CosineFeatureLoss.",
    "DecoupledKnowledgeDistillation": "Decoupled knowledge distillation (Zhao et al. 2022, https://arxiv.org/abs/2203.08679) is "
    "multi-class. Each label alone has a single other class, 'absent', so that its loss of non-target classes is always 0 and it "
    "is the sigmoid KL divergence. Use SigmoidKLDivergence.",
}


class SoftmaxKLDivergence(PerSampleLoss):
    """Hinton's loss T^2 KL(softmax(t / T) || softmax(s / T)), for problems where exactly one class of a sample is present.

    The training modules of this package are multi-label and refuse it.

    Source: Hinton et al. 2015, https://arxiv.org/abs/1503.02531, eq. 1 to 4.

    Args:
        temperature: T > 0.
    """

    multi_class = True
    softens = True

    def __init__(self, temperature: float = 1.0) -> None:
        super().__init__()
        self.temperature = check_temperature(temperature)

    def per_sample(self, student: ModelOutput, teacher: ModelOutput) -> Tensor:
        """Return the scaled KL divergence, float32 (B,)."""
        check_logits(student, teacher)
        s, t = (F.log_softmax(output.logits / self.temperature, dim=1) for output in (student, teacher))
        return self.temperature**2 * (t.exp() * (t - s)).sum(dim=1)
