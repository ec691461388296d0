import torch
from torch.nn import functional as F

from mmpkd.losses import CosineFeatureLoss
from mmpkd.students.output import ModelOutput


def outputs(student: torch.Tensor, teacher: torch.Tensor) -> tuple[ModelOutput, ModelOutput, torch.Tensor]:
    logits = torch.zeros(len(student), 2)
    return ModelOutput(logits, student), ModelOutput(logits, teacher), torch.ones(len(student), dtype=torch.bool)


def built(student: int, teacher: int) -> CosineFeatureLoss:
    loss = CosineFeatureLoss()
    loss.build(student, teacher)
    return loss


def test_equals_one_minus_cosine_similarity_of_the_projection() -> None:
    torch.manual_seed(0)
    loss = built(5, 3)
    student, teacher = torch.randn(4, 5), torch.randn(4, 3)
    expected = (1 - F.cosine_similarity(loss.projection(student), teacher)).mean()
    torch.testing.assert_close(loss(*outputs(student, teacher)), expected, rtol=1e-4, atol=1e-5)


def test_gradient_of_a_zero_vector_is_bounded() -> None:
    loss = built(3, 3)
    torch.nn.init.eye_(loss.projection.weight)
    torch.nn.init.zeros_(loss.projection.bias)
    student = torch.zeros(1, 3, requires_grad=True)
    loss(*outputs(student, torch.ones(1, 3))).backward()
    assert student.grad is not None
    assert student.grad.norm() < 2e3  # eps = 1e-6 bounds it by 1 / sqrt(eps)


def test_teacher_features_may_be_missing() -> None:
    loss = built(3, 3)
    student, teacher, available = outputs(torch.randn(2, 3), torch.tensor([[1.0, 0, 0], [torch.nan] * 3]))
    available[1] = False
    alone = loss(*outputs(student.features[:1], teacher.features[:1]))
    torch.testing.assert_close(loss(student, teacher, available), alone)
