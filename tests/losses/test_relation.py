"""Relations between samples, against independent references."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from mmpkd.losses import (
    CenteredKernelAlignment,
    HardLabels,
    InfoNCE,
    LogitMSE,
    RelationalDistance,
    SigmoidDIST,
    SigmoidKLDivergence,
    SimilarityPreserving,
)
from mmpkd.students.output import ModelOutput

seeds = st.integers(0, 2**31 - 1)


def draw(seed: int, n: int, *widths: int) -> list[Tensor]:
    g = torch.Generator().manual_seed(seed)
    return [torch.randn(n, width, generator=g) for width in widths]


def features(x: Tensor) -> ModelOutput:
    return ModelOutput(torch.zeros(len(x), 2), x)


def logits(x: Tensor) -> ModelOutput:
    return ModelOutput(x, torch.zeros(len(x), 2))


def everyone(x: Tensor) -> Tensor:
    return torch.ones(len(x), dtype=torch.bool)


@given(seeds)
@settings(max_examples=20)
def test_relational_distance_equals_its_formula_with_cdist(seed: int) -> None:
    s, t = draw(seed, 9, 5, 3)
    units = [torch.pdist(x) / torch.pdist(x).mean() for x in (s, t)]
    expected = F.smooth_l1_loss(units[0], units[1])
    torch.testing.assert_close(
        RelationalDistance()(features(s), features(t), everyone(s)), expected, rtol=1e-3, atol=1e-5
    )


def test_relations_do_not_change_under_rotation_and_scale() -> None:
    (t,) = draw(0, 9, 4)
    rotation = torch.linalg.qr(draw(1, 4, 4)[0])[0]
    for loss in (RelationalDistance(), SimilarityPreserving(), CenteredKernelAlignment()):
        assert loss(features(3 * t @ rotation), features(t), everyone(t)).item() == pytest.approx(0, abs=1e-5)
        assert loss(features(t.flip(0)), features(t), everyone(t)).item() > 1e-3


@given(seeds)
@settings(max_examples=20)
def test_similarity_preserving_equals_its_formula(seed: int) -> None:
    s, t = draw(seed, 7, 5, 3)
    rows = [F.normalize(x @ x.T, dim=1) for x in (s, t)]
    expected = (rows[0] - rows[1]).square().sum() / 7**2
    torch.testing.assert_close(
        SimilarityPreserving()(features(s), features(t), everyone(s)), expected, rtol=1e-3, atol=1e-5
    )


def unbiased_hsic(k: np.ndarray, ell: np.ndarray) -> float:
    """Equation 3 of Nguyen et al., term by term."""
    n = len(k)
    k, ell = k - np.diag(np.diag(k)), ell - np.diag(np.diag(ell))
    one = np.ones(n)
    inner = (
        np.trace(k @ ell) + one @ k @ one * (one @ ell @ one) / ((n - 1) * (n - 2)) - 2 / (n - 2) * one @ k @ ell @ one
    )
    return float(inner / (n * (n - 3)))


@given(seeds)
@settings(max_examples=20)
def test_kernel_alignment_equals_its_formula(seed: int) -> None:
    s, t = draw(seed, 12, 5, 3)
    t = t + s[:, :3]
    k, ell = ((x.double() @ x.double().T).numpy() for x in (s, t))
    expected = 1 - unbiased_hsic(k, ell) / np.sqrt(unbiased_hsic(k, k) * unbiased_hsic(ell, ell))
    found = CenteredKernelAlignment()(features(s), features(t), everyone(s)).item()
    assert found == pytest.approx(expected, rel=5e-3, abs=5e-3)


def test_kernel_alignment_of_independent_features_is_one_on_average() -> None:
    values = []
    for seed in range(20):
        s, t = draw(seed, 64, 384, 768)
        values.append(CenteredKernelAlignment()(features(s), features(t), everyone(s)).item())
    assert np.mean(values) == pytest.approx(1, abs=0.05)  # the biased estimate gives 0.11


@given(seeds)
@settings(max_examples=20)
def test_info_nce_equals_cross_entropy_of_cosines(seed: int) -> None:
    s, t = draw(seed, 8, 5, 5)
    loss = InfoNCE(tau=0.2, duplicate=1.1)
    loss.build(5, 5)
    with torch.no_grad():
        loss.projection.weight.copy_(torch.eye(5))
        loss.projection.bias.zero_()
    matrix = F.cosine_similarity(s[:, None], t[None, :], dim=2) / 0.2
    target = torch.arange(8)
    expected = (F.cross_entropy(matrix, target) + F.cross_entropy(matrix.T, target)) / 2
    torch.testing.assert_close(loss(features(s), features(t), everyone(s)), expected, rtol=1e-3, atol=1e-4)


def test_the_same_report_twice_is_no_negative() -> None:
    s, t = draw(0, 6, 4, 4)
    loss = InfoNCE()
    loss.build(4, 4)
    twice = [torch.cat([x, x]) for x in (s, t)]
    # every other sample is there twice, and none is contrasted with its own copy
    matrix = F.cosine_similarity(loss.projection(s)[:, None], t[None, :], dim=2) / loss.tau
    matrix = matrix + np.log(2) * (1 - torch.eye(6))
    expected = (F.cross_entropy(matrix, torch.arange(6)) + F.cross_entropy(matrix.T, torch.arange(6))) / 2
    found = loss(features(twice[0]), features(twice[1]), everyone(twice[0]))
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


@given(seeds, st.floats(0.5, 4))
@settings(max_examples=20)
def test_dist_equals_numpys_correlation(seed: int, temperature: float) -> None:
    s, t = draw(seed, 10, 4, 4)
    p, q = ((x / temperature).sigmoid().double().numpy() for x in (s, t))
    over_batch = np.mean([1 - np.corrcoef(p[:, k], q[:, k])[0, 1] for k in range(4)])
    over_labels = np.mean([1 - np.corrcoef(p[i], q[i])[0, 1] for i in range(10)])
    expected = temperature**2 * (over_batch + 0.5 * over_labels)
    found = SigmoidDIST(temperature, over_labels=0.5)(logits(s), logits(t), everyone(s)).item()
    assert found == pytest.approx(expected, rel=1e-2, abs=1e-2)


def test_dist_needs_a_batch_and_spread() -> None:
    s, t = draw(0, 7, 3, 3)
    assert SigmoidDIST()(logits(s), logits(t), everyone(s)).item() == 0
    constant = torch.zeros(9, 3, requires_grad=True)
    value = SigmoidDIST()(logits(constant), logits(draw(1, 9, 3)[0]), everyone(constant))
    value.backward()
    assert value.item() == 0
    assert constant.grad is not None
    assert constant.grad.abs().max() < 1
    for wrong in ({"over_batch": 0.0}, {"temperature": 0.0}, {"min_samples": 2}):
        with pytest.raises(ValueError, match="over_batch > 0"):
            SigmoidDIST(**wrong)


def test_logit_mse_is_the_limit_of_the_sigmoid_kl_divergence() -> None:
    s, t = draw(0, 5, 3, 3)
    mse = LogitMSE()(logits(s), logits(t), everyone(s))
    torch.testing.assert_close(mse, F.mse_loss(s, t))
    kl = SigmoidKLDivergence(100.0)(logits(s.double()), logits(t.double()), everyone(s))
    torch.testing.assert_close(8 * kl, mse, rtol=2e-2, atol=0)


def test_hard_labels_are_the_teachers_decisions() -> None:
    s = torch.tensor([[0.3, -2.0]])
    t = torch.tensor([[0.1, -0.1]])
    expected = F.binary_cross_entropy_with_logits(s, torch.tensor([[1.0, 0.0]]))
    torch.testing.assert_close(HardLabels()(logits(s), logits(t), everyone(s)), expected)
    both = F.binary_cross_entropy_with_logits(s, torch.tensor([[1.0, 1.0]]))
    torch.testing.assert_close(HardLabels(0.4)(logits(s), logits(t), everyone(s)), both)
    with pytest.raises(ValueError, match="threshold in"):
        HardLabels(1.0)


@pytest.mark.parametrize("loss", [LogitMSE(), HardLabels(), SigmoidKLDivergence()])
def test_a_teacher_of_other_labels_is_refused(loss: LogitMSE) -> None:
    with pytest.raises(ValueError, match="same labels"):
        loss(logits(torch.zeros(2, 3)), logits(torch.zeros(2, 4)), torch.ones(2, dtype=torch.bool))


def test_tau_is_positive() -> None:
    with pytest.raises(ValueError, match="tau > 0"):
        InfoNCE(0.0)
