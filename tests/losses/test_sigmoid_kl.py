import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.distributions import Bernoulli, kl_divergence
from torch.nn import functional as F

from mmpkd.losses import SigmoidKLDivergence
from mmpkd.students.output import ModelOutput

seeds = st.integers(0, 2**31 - 1)
temperatures = st.floats(0.5, 8.0)


def output(logits: Tensor) -> ModelOutput:
    return ModelOutput(logits, torch.zeros(len(logits), 3))


def pair(seed: int, b: int = 6, k: int = 4, scale: float = 3.0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    first, second = (scale * torch.randn(2, b, k, generator=generator, dtype=torch.float64)).float()
    return first, second


def everyone(logits: Tensor) -> Tensor:
    return torch.ones(len(logits), dtype=torch.bool)


@given(seeds, temperatures)
@settings(max_examples=30)
def test_equals_torch_distributions_on_bernoullis(seed: int, temperature: float) -> None:
    s, t = pair(seed)
    value = SigmoidKLDivergence(temperature)(output(s), output(t), everyone(s))
    reference = kl_divergence(Bernoulli(logits=t.double() / temperature), Bernoulli(logits=s.double() / temperature))
    torch.testing.assert_close(value.double(), temperature**2 * reference.mean(), rtol=1e-4, atol=1e-5)


@given(seeds, temperatures)
@settings(max_examples=30)
def test_equals_hinton_on_two_class_softmaxes(seed: int, temperature: float) -> None:
    s, t = pair(seed)
    two_class = [torch.stack([z, torch.zeros_like(z)], -1).flatten(0, 1) / temperature for z in (s, t)]
    hinton = temperature**2 * F.kl_div(two_class[0].log_softmax(1), two_class[1].softmax(1), reduction="batchmean")
    value = SigmoidKLDivergence(temperature)(output(s), output(t), everyone(s))
    torch.testing.assert_close(value, hinton, rtol=1e-4, atol=1e-5)


@given(seeds, temperatures)
@settings(max_examples=30)
def test_gradient_has_its_closed_form(seed: int, temperature: float) -> None:
    s, t = pair(seed)
    s.requires_grad_()
    SigmoidKLDivergence(temperature)(output(s), output(t), everyone(s)).backward()
    expected = temperature * ((s / temperature).sigmoid() - (t / temperature).sigmoid()) / s.numel()
    assert s.grad is not None
    torch.testing.assert_close(s.grad, expected.detach(), rtol=1e-4, atol=1e-6)


@given(seeds)
@settings(max_examples=30)
def test_is_zero_only_for_equal_logits(seed: int) -> None:
    s, t = pair(seed)
    loss = SigmoidKLDivergence(2.0)
    assert loss(output(t), output(t), everyone(t)).item() == pytest.approx(0, abs=1e-6)
    assert loss(output(s), output(t), everyone(t)).item() > 1e-4


def test_high_temperature_limit_is_an_eighth_of_logit_mse() -> None:
    s, t = pair(0, scale=1.0)
    value = SigmoidKLDivergence(100.0)(output(s.double()), output(t.double()), everyone(s))
    torch.testing.assert_close(value, (s - t).square().mean() / 8, rtol=2e-2, atol=0)


def test_sees_a_shift_of_all_logits_that_a_softmax_ignores() -> None:
    t = torch.tensor([[3.0, 3.0, -3.0]])
    s = t - 16
    softmax_kl = F.kl_div(s.log_softmax(1), t.softmax(1), reduction="batchmean")
    assert softmax_kl.item() == pytest.approx(0, abs=1e-6)
    assert SigmoidKLDivergence()(output(s), output(t), everyone(s)).item() > 5


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_is_finite_for_extreme_logits(dtype: torch.dtype) -> None:
    extreme = torch.tensor([[1e4, -1e4, 1e4, -1e4, 0.0]], dtype=dtype)
    other = torch.tensor([[-1e4, 1e4, 1e4, -1e4, 1e4]], dtype=dtype)
    s = extreme.clone().requires_grad_()
    value = SigmoidKLDivergence()(output(s), output(other), everyone(s))
    value.backward()
    assert value.dtype == torch.float32
    assert value.isfinite()
    assert s.grad is not None
    assert s.grad.isfinite().all()


def test_arithmetic_is_float32_under_autocast() -> None:
    s, t = pair(1, scale=0.01)
    loss = SigmoidKLDivergence()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = loss(output(s), output(t), everyone(s))
    torch.testing.assert_close(inside, loss(output(s), output(t), everyone(s)), rtol=0, atol=0)


@given(seeds)
@settings(max_examples=20)
def test_missing_teachers_contribute_nothing_even_if_they_are_nan(seed: int) -> None:
    s, t = pair(seed)
    available = torch.rand(len(s), generator=torch.Generator().manual_seed(seed)) > 0.5
    available[0] = True
    broken = t.clone()
    broken[~available] = torch.nan
    s.requires_grad_()
    loss = SigmoidKLDivergence()
    value = loss(output(s), output(broken), available)
    value.backward()
    expected = loss(output(s[available]), output(t[available]), everyone(s[available]))
    torch.testing.assert_close(value, expected)
    assert s.grad is not None
    assert s.grad.isfinite().all()
    assert (s.grad[~available] == 0).all()


def test_a_batch_without_any_teacher_is_exactly_zero_with_zero_gradient() -> None:
    s = torch.randn(3, 2, requires_grad=True)
    nothing = torch.full((3, 2), torch.nan)
    value = SigmoidKLDivergence()(output(s), output(nothing), torch.zeros(3, dtype=torch.bool))
    value.backward()
    assert value.item() == 0
    assert s.grad is not None
    assert (s.grad == 0).all()


def test_does_not_depend_on_the_order_of_samples_or_labels() -> None:
    s, t = pair(3)
    rows, columns = torch.randperm(6), torch.randperm(4)
    loss = SigmoidKLDivergence(2.0)
    shuffled = loss(output(s[rows][:, columns]), output(t[rows][:, columns]), everyone(s))
    torch.testing.assert_close(shuffled, loss(output(s), output(t), everyone(s)))


def test_the_teacher_gets_no_gradient() -> None:
    s, t = pair(4)
    s.requires_grad_()
    t.requires_grad_()
    SigmoidKLDivergence()(output(s), output(t), everyone(s)).backward()
    assert t.grad is None


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="temperature > 0"):
        SigmoidKLDivergence(0.0)
    with pytest.raises(ValueError, match="same labels"):
        SigmoidKLDivergence()(output(torch.zeros(2, 3)), output(torch.zeros(2, 4)), torch.ones(2, dtype=torch.bool))
