import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from mmpkd.losses import masked_bce


def test_without_missing_labels_it_is_the_mean_binary_cross_entropy() -> None:
    logits, label = torch.randn(5, 3), torch.randint(0, 2, (5, 3)).float()
    torch.testing.assert_close(masked_bce(logits, label), F.binary_cross_entropy_with_logits(logits, label))


@given(st.integers(0, 2**31 - 1))
@settings(max_examples=30)
def test_missing_labels_have_no_influence(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(6, 4, generator=generator, requires_grad=True)
    label = torch.randint(0, 2, (6, 4), generator=generator).float()
    missing = torch.rand(6, 4, generator=generator) < 0.4
    missing[0, 0] = False
    value = masked_bce(logits, label.masked_fill(missing, torch.nan))
    value.backward()
    expected = F.binary_cross_entropy_with_logits(logits[~missing], label[~missing])
    torch.testing.assert_close(value, expected)
    assert logits.grad is not None
    assert (logits.grad[missing] == 0).all()


def test_no_label_at_all_is_exactly_zero_with_zero_gradient() -> None:
    logits = torch.randn(2, 3, requires_grad=True)
    value = masked_bce(logits, torch.full((2, 3), torch.nan))
    value.backward()
    assert value.item() == 0
    assert logits.grad is not None
    assert (logits.grad == 0).all()


def test_a_weight_scales_its_sample_and_not_the_others() -> None:
    logits, label = torch.randn(2, 1), torch.tensor([[1.0], [0.0]])
    each = F.binary_cross_entropy_with_logits(logits, label, reduction="none")[:, 0]
    value = masked_bce(logits, label, torch.tensor([0.3, 1.0]))
    torch.testing.assert_close(value, (0.3 * each[0] + each[1]) / 2)
