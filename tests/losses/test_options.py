"""Options of the training loss, and what it refuses."""

from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from mmpkd.cli.lightning_cli import main
from mmpkd.losses import (
    CenteredKernelAlignment,
    CosineFeatureLoss,
    DistillationLoss,
    HardLabels,
    HintMSE,
    InfoNCE,
    LogitMSE,
    LossTerm,
    Objective,
    RelationalDistance,
    SigmoidDIST,
    SigmoidKLDivergence,
    SimilarityPreserving,
    masked_bce,
)
from mmpkd.losses.schedules import Schedule
from mmpkd.students.output import ModelOutput
from tests.losses.test_objective import batch
from tests.runs import config, student


@pytest.mark.parametrize(
    "loss",
    [
        CosineFeatureLoss(),
        HintMSE(),
        InfoNCE(),
        RelationalDistance(),
        SimilarityPreserving(),
        CenteredKernelAlignment(),
    ],
)
def test_losses_between_features_need_a_teacher_with_features(loss: DistillationLoss) -> None:
    objective = Objective(extra_losses={"term": LossTerm(loss)})
    with pytest.raises(ValueError, match=f"teacher with features for {type(loss).__name__}"):
        objective.build(8, 0)
    objective.build(8, 4)


@pytest.mark.parametrize("loss", [LogitMSE(), HardLabels(), SigmoidDIST(), SigmoidKLDivergence()])
def test_losses_between_logits_need_no_features(loss: DistillationLoss) -> None:
    Objective(loss).build(8, 0)


def test_a_temperature_for_a_loss_that_has_none_is_refused() -> None:
    with pytest.raises(ValueError, match="no temperature for LogitMSE"):
        Objective(LogitMSE(), temperature=2.0)
    Objective(SigmoidDIST(), temperature=2.0)


def test_scheduled_weights_of_terms_are_logged_and_constant_ones_are_not() -> None:
    student, teacher, label, available = batch()
    extra = {"falling": LossTerm(LogitMSE(), Schedule(1.0, 0.0)), "fixed": LossTerm(HardLabels(), 0.5)}
    terms = Objective(extra_losses=extra)(student, student, label, teacher, available, 0.25)
    assert terms["falling_weight"].item() == pytest.approx(0.75)
    assert "fixed_weight" not in terms
    with pytest.raises(ValueError, match="end with '_weight'"):
        Objective(extra_losses={"my_weight": LossTerm(LogitMSE())})


def test_divided_by_the_batch_a_sample_counts_the_same_whoever_else_has_a_teacher() -> None:
    student, teacher, label, _ = batch()
    logits = student.logits.clone().requires_grad_()
    own = ModelOutput(logits, student.features)

    def gradient(who: torch.Tensor, normaliser: str) -> torch.Tensor:
        extra = {"mse": LossTerm(LogitMSE(), 0.5)}
        objective = Objective(weight=1.0, normaliser=normaliser, extra_losses=extra)  # type: ignore[arg-type]
        loss = objective(own, own, label, teacher, who, 0.0)["loss"]
        return torch.autograd.grad(loss, logits)[0][0]

    alone = torch.arange(len(label)) == 0
    everyone = torch.ones_like(alone)
    torch.testing.assert_close(gradient(alone, "batch"), gradient(everyone, "batch"))
    torch.testing.assert_close(gradient(alone, "covered"), len(label) * gradient(everyone, "covered"))
    torch.testing.assert_close(gradient(everyone, "batch"), gradient(everyone, "covered"))
    nobody = Objective(weight=1.0, normaliser="batch")(own, own, label, teacher, ~everyone, 0.0)
    assert nobody["distillation"].item() == 0


def test_weights_of_present_labels_belong_to_the_task() -> None:
    student, teacher, label, available = batch()
    weights = [2.0, 1.0, 0.5]
    terms = Objective(pos_weight=weights, mode="independent")(student, student, label, teacher, available, 0.0)
    expected = F.binary_cross_entropy_with_logits(student.logits, label, pos_weight=torch.tensor(weights))
    torch.testing.assert_close(terms["task"], expected)
    torch.testing.assert_close(terms["distillation"], SigmoidKLDivergence()(student, teacher, available))
    with pytest.raises(ValueError, match="`pos_weight` > 0"):
        Objective(pos_weight=[1.0, 0.0])


def test_the_task_loss_is_float32_under_autocast() -> None:
    g = torch.Generator().manual_seed(0)
    logits, label = torch.randn(64, 3, generator=g), torch.randint(0, 2, (64, 3), generator=g).float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        # a product, which autocast would do in half precision, as the logits of a student come out of one
        half = logits @ torch.eye(3)
        assert half.dtype == torch.bfloat16
        loss = masked_bce(half, label)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, masked_bce(half.float(), label), rtol=0, atol=0)


def test_near_convergence_half_precision_would_lose_a_tenth_of_the_divergence() -> None:
    g = torch.Generator().manual_seed(0)
    t = torch.randn(256, 5, generator=g).bfloat16()
    s = (t.float() + 0.03 * torch.randn(256, 5, generator=g)).bfloat16()
    everyone = torch.ones(256, dtype=torch.bool)
    exact = SigmoidKLDivergence()(ModelOutput(s.double(), s), ModelOutput(t.double(), t), everyone)
    p = t.sigmoid()
    in_half = (p * (F.logsigmoid(t) - F.logsigmoid(s)) + (1 - p) * (F.logsigmoid(-t) - F.logsigmoid(-s))).mean()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        ours = SigmoidKLDivergence()(ModelOutput(s, s), ModelOutput(t, t), everyone)
    assert ours.item() == pytest.approx(exact.item(), rel=1e-2)
    assert abs(in_half.item() / exact.item() - 1) > 0.05


def test_the_mean_over_labels_is_the_sum_divided_by_their_number() -> None:
    student, teacher, _, available = batch()
    one_by_one = [
        SigmoidKLDivergence(2.0)(
            ModelOutput(student.logits[:, k : k + 1], student.features),
            ModelOutput(teacher.logits[:, k : k + 1], teacher.features),
            available,
        )
        for k in range(student.logits.shape[1])
    ]
    together = SigmoidKLDivergence(2.0)(student, teacher, available)
    torch.testing.assert_close(torch.stack(one_by_one).sum(), student.logits.shape[1] * together)


def test_hard_labels_at_the_thresholds_of_the_teacher() -> None:
    student, teacher, _, _ = batch()
    everyone = torch.ones(len(student.logits), dtype=torch.bool)
    loss = HardLabels("validation")
    assert loss.needs_thresholds
    thresholds = torch.tensor([0.2, 0.5, 0.8])
    loss.set_thresholds(thresholds)
    decision = (teacher.logits.sigmoid() >= thresholds).float()
    expected = F.binary_cross_entropy_with_logits(student.logits, decision)
    torch.testing.assert_close(loss(student, teacher, everyone), expected)
    assert not HardLabels(0.3).needs_thresholds
    with pytest.raises(ValueError, match="'validation'"):
        HardLabels(1.0)


def test_teachers_decide_who_is_no_negative_not_students() -> None:
    everyone = torch.ones(3, dtype=torch.bool)
    same, other = torch.ones(3, 2), torch.tensor([[1.0, 0], [0, 1], [-1, 0]])
    loss = InfoNCE()
    loss.build(2, 2)
    with torch.no_grad():
        loss.projection.weight.copy_(torch.eye(2))
        loss.projection.bias.zero_()
    logits = torch.zeros(3, 1)
    # equal teachers: nobody is a negative, whatever the students say
    assert loss(ModelOutput(logits, other), ModelOutput(logits, same), everyone).item() == pytest.approx(0, abs=1e-6)
    # equal students of different teachers cannot be told apart: the loss is that of guessing, or worse
    assert loss(ModelOutput(logits, same), ModelOutput(logits, other), everyone).item() > 1


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("DecoupledKnowledgeDistillation", "is the sigmoid KL divergence. Use"),
        ("AttentionTransfer", "teacher on text or tables does not have"),
        ("mmpkd.losses.AttentionTransfer", "teacher on text or tables does not have"),
        ("SoftmaxKLDivergence", "does not change when all logits of a sample are shifted"),
    ],
)
def test_the_command_line_says_why_a_loss_is_refused(
    name: str, reason: str, tiny_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = student(objective={"loss": {"class_path": name}})
    with pytest.raises((SystemExit, ValueError)) as error:
        main(["fit", *config(tmp_path, "run", tiny_root, settings)])
    said = " ".join((str(error.value) + capsys.readouterr().err).split())
    assert reason in said
