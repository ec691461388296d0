from contextlib import nullcontext

import pytest
import torch

from mmpkd.losses import (
    HintMSE,
    LogitMSE,
    LossTerm,
    Objective,
    SigmoidKLDivergence,
    SoftmaxKLDivergence,
    masked_bce,
)
from mmpkd.losses.base import FeatureStatistics
from mmpkd.losses.ensemble import ensemble_logits
from mmpkd.losses.schedules import Schedule
from mmpkd.students.output import ModelOutput

B, K, D, E = 6, 3, 5, 4


def batch(seed: int = 0) -> tuple[ModelOutput, ModelOutput, torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(seed)
    student = ModelOutput(torch.randn(B, K, generator=g), torch.randn(B, D, generator=g))
    teacher = ModelOutput(torch.randn(B, K, generator=g), torch.randn(B, E, generator=g))
    label = torch.randint(0, 2, (B, K), generator=g).float()
    return student, teacher, label, torch.tensor([True, True, False, True, True, False])


def test_independent_mode_keeps_the_whole_task_loss_of_every_sample() -> None:
    student, teacher, label, available = batch()
    terms = Objective(weight=3.0, mode="independent")(student, student, label, teacher, available, 0.0)
    task = masked_bce(student.logits, label)
    distillation = SigmoidKLDivergence()(student, teacher, available)
    torch.testing.assert_close(terms["loss"], task + 3 * distillation)
    with pytest.raises(ValueError, match="weight"):
        Objective(weight=3.0)


def test_weight_and_temperature_follow_their_schedules() -> None:
    student, teacher, label, available = batch()
    objective = Objective(weight=Schedule(0.2, 0.6), temperature=Schedule(4.0, 1.0))
    for progress, weight, temperature in ((0.0, 0.2, 4.0), (0.5, 0.4, 2.5), (1.0, 0.6, 1.0)):
        terms = objective(student, student, label, teacher, available, progress)
        assert terms["distillation_weight"].item() == pytest.approx(weight)
        assert terms["temperature"].item() == pytest.approx(temperature)
        expected = SigmoidKLDivergence(temperature)(student, teacher, available)
        torch.testing.assert_close(terms["distillation"], expected)
        torch.testing.assert_close(terms["loss"], terms["task"] + weight * expected)


def test_every_value_is_on_the_device_of_the_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are reduced over processes to be logged, and NCCL takes tensors of a GPU only; here `meta` stands for it."""
    monkeypatch.setattr("torch.autocast", lambda *_, **__: nullcontext())  # there is none for this device
    student, teacher, label, available = batch()
    extra = {"mse": LossTerm(LogitMSE(), weight=Schedule(0.1, 0.3))}
    objective = Objective(weight=Schedule(0.2, 0.6), temperature=Schedule(4.0, 1.0), extra_losses=extra).to("meta")
    outputs = [ModelOutput(output.logits.to("meta"), output.features.to("meta")) for output in (student, teacher)]
    terms = objective(outputs[0], outputs[0], label.to("meta"), outputs[1], available.to("meta"), 0.5)
    assert {"loss", "temperature", "distillation_weight", "mse_weight"} < set(terms)
    assert {name: value.device.type for name, value in terms.items()} == dict.fromkeys(terms, "meta")


def test_a_temperature_that_reaches_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="temperature"):
        Objective(temperature=Schedule(1.0, 0.0))
    with pytest.raises(ValueError, match="temperature"):
        Objective(temperature=Schedule(2.0, 1.0, warmup=0.1))


def test_multi_class_losses_are_refused_with_the_reason() -> None:
    with pytest.raises(ValueError, match="softmax over labels is wrong"):
        Objective(SoftmaxKLDivergence())
    with pytest.raises(ValueError, match="softmax over labels is wrong"):
        Objective(extra_losses={"softmax": LossTerm(SoftmaxKLDivergence())})


def test_softmax_kl_cannot_see_what_is_wrong_with_it() -> None:
    everyone = torch.ones(1, dtype=torch.bool)
    absent, present = torch.full((1, K), -4.0), torch.full((1, K), 4.0)
    features = torch.zeros(1, 1)
    pair = (ModelOutput(present, features), ModelOutput(absent, features), everyone)
    assert SoftmaxKLDivergence()(*pair).item() == pytest.approx(0, abs=1e-6)
    assert SigmoidKLDivergence()(*pair).item() > 3
    student, teacher, *_ = batch()
    logits = student.logits.requires_grad_()
    SoftmaxKLDivergence(2.0)(ModelOutput(logits, student.features), teacher, torch.ones(B, dtype=torch.bool)).backward()
    assert logits.grad is not None
    torch.testing.assert_close(logits.grad.sum(1), torch.zeros(B), rtol=0, atol=1e-6)


def test_an_ensemble_is_the_mean_of_probabilities_at_the_temperature() -> None:
    student, _, label, available = batch()
    members = torch.randn(4, B, K, generator=torch.Generator().manual_seed(3)) * 3
    for temperature in (0.5, 1.0, 3.0):
        combined = ensemble_logits(members, temperature)
        mean = (members / temperature).sigmoid().mean(0)
        torch.testing.assert_close((combined / temperature).sigmoid(), mean)
    extreme = ensemble_logits(torch.tensor([[[1e4, -1e4]], [[1e4, -1e4]]]), 1.0)
    torch.testing.assert_close(extreme, torch.tensor([[1e4, -1e4]]))
    assert torch.equal(ensemble_logits(members[:1], 2.0), members[0])
    loss = SigmoidKLDivergence(3.0)
    features = torch.zeros(B, 1)
    torch.testing.assert_close(
        loss(student, ModelOutput(members, features), available),
        loss(student, ModelOutput(ensemble_logits(members, 3.0), features), available),
    )
    assert Objective()(student, student, label, ModelOutput(members, features), available, 0.0)["loss"].isfinite()


def test_the_hint_does_not_depend_on_the_scale_of_teacher_features() -> None:
    student, teacher, _, available = batch()
    values = []
    for scale, shift in ((1.0, 0.0), (1000.0, 7.0)):
        torch.manual_seed(0)
        loss = HintMSE()
        loss.build(D, E)
        features = teacher.features * scale + shift
        loss.set_statistics(FeatureStatistics(features.mean(0), features.std(0, correction=0)))
        values.append(loss(student, ModelOutput(teacher.logits, features), available))
    torch.testing.assert_close(values[0], values[1], rtol=1e-3, atol=1e-3)
    projected = loss.projection(student.features)
    target = (features - features.mean(0)) / features.std(0, correction=0)
    expected = (projected - target).square().mean(1)[available].mean()
    torch.testing.assert_close(values[1], expected)


def test_label_smoothing_is_a_mixture_with_one_half() -> None:
    student, _, label, _ = batch()
    smoothed = masked_bce(student.logits, label, smoothing=0.2)
    torch.testing.assert_close(smoothed, masked_bce(student.logits, 0.8 * label + 0.1))
    with pytest.raises(ValueError, match="label smoothing"):
        Objective(label_smoothing=1.0)


def test_weights_of_terms_may_be_scheduled() -> None:
    student, teacher, label, available = batch()
    objective = Objective(weight=0.0, extra_losses={"mse": LossTerm(LogitMSE(), Schedule(0.0, 2.0))})
    terms = objective(student, student, label, teacher, available, 0.5)
    torch.testing.assert_close(terms["loss"], masked_bce(student.logits, label) + terms["mse"])
