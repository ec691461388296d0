"""What holds for every distillation loss, whatever it compares."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmpkd.losses import (
    CenteredKernelAlignment,
    CosineFeatureLoss,
    DistillationLoss,
    HardLabels,
    HintMSE,
    InfoNCE,
    LogitMSE,
    RelationalDistance,
    SigmoidDIST,
    SigmoidKLDivergence,
    SimilarityPreserving,
    SoftmaxKLDivergence,
)
from mmpkd.students.output import ModelOutput
from tests.classes import concrete

B, K, D, E = 12, 5, 6, 4
LOSSES: dict[str, Callable[[], DistillationLoss]] = {
    "sigmoid_kl": SigmoidKLDivergence,
    "logit_mse": LogitMSE,
    "hard": HardLabels,
    "hint": HintMSE,
    "softmax_kl": SoftmaxKLDivergence,
    "cosine": CosineFeatureLoss,
    "rkd": RelationalDistance,
    "sp": SimilarityPreserving,
    "cka": CenteredKernelAlignment,
    "info_nce": InfoNCE,
    "dist": lambda: SigmoidDIST(over_labels=0.5, min_samples=3),
}


def test_every_loss_is_tried() -> None:
    assert {type(make()) for make in LOSSES.values()} == {*concrete(DistillationLoss)}


def make(name: str) -> DistillationLoss:
    torch.manual_seed(0)
    loss = LOSSES[name]()
    loss.build(D, E)
    return loss


def outputs(seed: int, scale: float = 1.0) -> tuple[ModelOutput, ModelOutput]:
    g = torch.Generator().manual_seed(seed)
    student = ModelOutput(scale * torch.randn(B, K, generator=g), scale * torch.randn(B, D, generator=g))
    return student, ModelOutput(scale * torch.randn(B, K, generator=g), scale * torch.randn(B, E, generator=g))


def leaves(student: ModelOutput) -> ModelOutput:
    return ModelOutput(*(value.clone().requires_grad_() for value in student))


@pytest.mark.parametrize("name", LOSSES)
@given(seed=st.integers(0, 2**31 - 1))
@settings(max_examples=15)
def test_samples_without_a_teacher_have_no_influence(name: str, seed: int) -> None:
    loss = make(name)
    student, teacher = outputs(seed)
    available = torch.rand(B, generator=torch.Generator().manual_seed(seed)) > 0.4
    available[:6] = True
    broken = ModelOutput(*(torch.where(available[:, None], value, torch.nan) for value in teacher))
    inputs = leaves(student)
    value = loss(inputs, broken, available)
    value.backward()
    alone = [ModelOutput(*(v[available] for v in output)) for output in (student, teacher)]
    expected = loss(*alone, torch.ones(int(available.sum()), dtype=torch.bool))
    torch.testing.assert_close(value, expected, rtol=1e-4, atol=1e-5)
    for tensor in inputs:
        if tensor.grad is not None:
            assert tensor.grad.isfinite().all()
            assert (tensor.grad[~available] == 0).all()


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("num_available", [0, 1, 2, 3])
def test_few_or_no_teachers_give_finite_gradients_and_none_gives_zero(name: str, num_available: int) -> None:
    loss = make(name)
    student, teacher = outputs(0)
    inputs = leaves(student)
    available = torch.arange(B) < num_available
    value = loss(inputs, ModelOutput(*(torch.where(available[:, None], v, torch.nan) for v in teacher)), available)
    value.backward()
    assert value.isfinite()
    if num_available == 0:
        assert value.item() == 0
    for tensor in inputs:
        assert tensor.grad is None or tensor.grad.isfinite().all()
        if num_available == 0 and tensor.grad is not None:
            assert (tensor.grad == 0).all()


@pytest.mark.parametrize("name", LOSSES)
def test_the_order_of_samples_does_not_matter(name: str) -> None:
    loss = make(name)
    student, teacher = outputs(1)
    order = torch.randperm(B, generator=torch.Generator().manual_seed(0))
    everyone = torch.ones(B, dtype=torch.bool)
    shuffled = [ModelOutput(*(v[order] for v in output)) for output in (student, teacher)]
    torch.testing.assert_close(loss(*shuffled, everyone), loss(student, teacher, everyone), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", LOSSES)
def test_extreme_inputs_in_bfloat16_stay_finite_and_arithmetic_is_float32(name: str) -> None:
    loss = make(name)
    student, teacher = outputs(2, scale=1e4)
    student = leaves(ModelOutput(*(value.bfloat16() for value in student)))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = loss(student, ModelOutput(*(v.bfloat16() for v in teacher)), torch.ones(B, dtype=torch.bool))
    value.backward()
    assert value.dtype == torch.float32
    assert value.isfinite()
    assert all(v.grad is None or v.grad.isfinite().all() for v in student)


@pytest.mark.parametrize("name", LOSSES)
def test_constant_students_and_duplicates_have_finite_gradients(name: str) -> None:
    loss = make(name)
    _, teacher = outputs(3)
    student = leaves(ModelOutput(torch.zeros(B, K), torch.zeros(B, D)))
    duplicated = ModelOutput(*(v[torch.arange(B) // 2] for v in teacher))
    loss(student, duplicated, torch.ones(B, dtype=torch.bool)).backward()
    assert all(v.grad is None or v.grad.isfinite().all() for v in student)
    assert all(v.grad is None or v.grad.norm() < 1e3 for v in student)


@pytest.mark.parametrize("name", LOSSES)
def test_the_teacher_gets_no_gradient(name: str) -> None:
    student, teacher = outputs(4)
    teacher = leaves(teacher)
    make(name)(leaves(student), teacher, torch.ones(B, dtype=torch.bool)).backward()
    assert all(value.grad is None for value in teacher)
