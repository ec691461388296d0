"""Optimizer, schedule and the composition of the loss."""

import math
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Trainer

from data_modules.batch import Batch
from mmpkd.attribution.recording.compiled_features import CompiledFeatures
from mmpkd.losses import HardLabels, LogitMSE, LossTerm, Objective, SigmoidKLDivergence, masked_bce
from mmpkd.losses.base import FeatureStatistics
from mmpkd.modules import DistillationModule
from mmpkd.modules.optimizer import OptimizerSettings, WarmupCosine
from mmpkd.students.output import ModelOutput
from mmpkd.teachers.controls import LabelOracle
from mmpkd.teachers.lookup import TeacherLookup
from mmpkd.teachers.source import TeacherSource
from tests.tiny import TinyDataModule, tiny_student


class FixedTeacher(TeacherLookup):
    """Says the same for the first samples of every batch and nothing for the others."""

    num_features = 3

    def __init__(self, logits: torch.Tensor, available: torch.Tensor) -> None:
        self.output = ModelOutput(logits, torch.zeros(len(logits), 3))
        self.available = available

    def to(self, device: torch.device) -> "FixedTeacher":
        del device
        return self

    def feature_statistics(self) -> FeatureStatistics:
        raise NotImplementedError

    def __call__(self, batch: Batch) -> tuple[ModelOutput, torch.Tensor]:
        return self.output, self.available


def module(
    weight: float, available: list[bool], extra_losses: dict[str, LossTerm] | None = None
) -> tuple[DistillationModule, Batch]:
    torch.manual_seed(0)
    objective = Objective(weight=weight, extra_losses=extra_losses)
    student = DistillationModule(tiny_student(), TeacherSource(control=LabelOracle()), objective).eval()
    logits = torch.tensor([[2.0, -1.0], [0.5, 0.5], [torch.nan, torch.nan]])
    student._teacher = FixedTeacher(logits, torch.tensor(available))
    label = torch.tensor([[1.0, 0.0], [torch.nan, 1.0], [0.0, 1.0]])
    return student, {"image": torch.randn(3, 1, 32, 32), "label": label}


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_loss_is_the_weighted_sum_when_every_sample_has_a_teacher(weight: float) -> None:
    student, batch = module(weight, [True, True, True])
    assert isinstance(student._teacher, FixedTeacher)
    student._teacher.output = ModelOutput(torch.randn(3, 2), torch.zeros(3, 3))
    losses = student.losses(batch)
    logits = student.student(batch["image"]).logits
    everyone = torch.ones(3, dtype=torch.bool)
    task = masked_bce(logits, batch["label"])
    distillation = SigmoidKLDivergence()(ModelOutput(logits, logits), student._teacher.output, everyone)
    torch.testing.assert_close(losses["loss"], (1 - weight) * task + weight * distillation)


def test_a_sample_without_a_teacher_keeps_its_whole_task_loss() -> None:
    student, batch = module(1.0, [False, False, False])
    losses = student.losses(batch)
    torch.testing.assert_close(losses["loss"], masked_bce(student.student(batch["image"]).logits, batch["label"]))
    assert losses["distillation"].item() == 0


def test_terms_are_named_and_mixed_batches_are_finite() -> None:
    student, batch = module(0.5, [True, True, False])
    losses = student.losses(batch)
    assert set(losses) == {"loss", "task", "distillation", "distillation_weight"}
    losses["loss"].backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in student.parameters())


@pytest.mark.parametrize("weight", [-0.1, 1.1])
def test_weights_outside_their_range_are_refused(weight: float) -> None:
    with pytest.raises(ValueError, match="weight"):
        DistillationModule(tiny_student(), objective=Objective(weight=weight))
    with pytest.raises(ValueError, match=r"Set model\.teacher"):
        TeacherSource(targets="online")
    with pytest.raises(ValueError, match=r"losses \['mse'\].*Set model\.teacher"):
        DistillationModule(tiny_student(), objective=Objective(extra_losses={"mse": LossTerm(LogitMSE())}))
    with pytest.raises(ValueError, match="`pos_weight` with 2 weights"):
        DistillationModule(tiny_student(), objective=Objective(pos_weight=[1.0]))
    with pytest.raises(ValueError, match="weight of a loss"):
        LossTerm(LogitMSE(), -1.0)


def test_extra_losses_are_added_with_their_weights_and_named() -> None:
    extra = {"mse": LossTerm(LogitMSE(), 0.5), "hard": LossTerm(HardLabels(), 2.0)}
    student, batch = module(0.5, [True, True, False], extra_losses=extra)
    losses = student.losses(batch)
    assert set(losses) == {"loss", "task", "distillation", "mse", "hard", "distillation_weight"}
    expected = losses["task"] + 0.5 * losses["distillation"] + 0.5 * losses["mse"] + 2.0 * losses["hard"]
    torch.testing.assert_close(losses["loss"], expected)
    with pytest.raises(ValueError, match="names of extra losses"):
        Objective(extra_losses={"task": LossTerm(LogitMSE())})


def test_learning_rate_warms_up_linearly_and_decays_as_a_cosine_to_zero() -> None:
    schedule = WarmupCosine(100, 0.1)
    assert [schedule(step) for step in range(10)] == pytest.approx([(step + 1) / 10 for step in range(10)])
    assert schedule(10) == 1
    assert schedule(55) == pytest.approx(0.5)
    assert schedule(99) == pytest.approx(0.5 * (1 + math.cos(math.pi * 89 / 90)))
    assert schedule(100) == 0


def test_norms_biases_and_embeddings_are_not_decayed(tiny_root: Path, tmp_path: Path) -> None:
    student = DistillationModule(tiny_student(), optimizer=OptimizerSettings(weight_decay=0.05))
    trainer = Trainer(
        max_steps=1,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_checkpointing=False,
        default_root_dir=tmp_path,
        limit_val_batches=0,
    )
    trainer.fit(student, TinyDataModule(str(tiny_root)))
    decay = {id(p): group["weight_decay"] for group in trainer.optimizers[0].param_groups for p in group["params"]}
    by_name = {name: decay[id(p)] for name, p in student.named_parameters()}
    assert by_name["student.model.pos_embed"] == by_name["student.model.cls_token"] == 0
    assert by_name["student.model.head.bias"] == by_name["student.model.norm.weight"] == 0
    assert by_name["student.model.head.weight"] == by_name["student.model.blocks.0.attn.qkv.weight"] == 0.05


def test_training_in_bfloat16_with_clipped_gradients_keeps_losses_in_float32(tiny_root: Path, tmp_path: Path) -> None:
    student = DistillationModule(
        tiny_student(options={"depth": 1, "drop_path_rate": 0.1}), TeacherSource(control=LabelOracle())
    )
    seen: dict[str, torch.dtype] = {}

    def look(_: torch.nn.Module, arguments: tuple[ModelOutput, ...], terms: dict[str, torch.Tensor]) -> None:
        seen.update({name: value.dtype for name, value in terms.items()}, logits=arguments[0].logits.dtype)

    def look_inside(_: torch.nn.Module, arguments: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        seen["inside"] = output.dtype

    student.objective.register_forward_hook(look)
    student.student.model.blocks[0].attn.qkv.register_forward_hook(look_inside)
    trainer = Trainer(
        max_epochs=1,
        accelerator="cpu",
        precision="bf16-mixed",
        gradient_clip_val=1.0,
        logger=False,
        enable_progress_bar=False,
        enable_checkpointing=False,
        default_root_dir=tmp_path,
    )
    trainer.fit(student, TinyDataModule(str(tiny_root)))
    assert seen["inside"] == torch.bfloat16
    assert {seen[name] for name in ("logits", "loss", "task", "distillation")} == {torch.float32}
    assert all(p.isfinite().all() for p in student.parameters())


def test_options_of_the_loss_reach_it() -> None:
    objective = Objective(label_smoothing=0.2, pos_weight=[1.0, 3.0])
    student = DistillationModule(tiny_student(), objective=objective).eval()
    batch: Batch = {"image": torch.randn(3, 1, 32, 32), "label": torch.tensor([[1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])}
    logits = student.student(batch["image"]).logits
    expected = masked_bce(logits, batch["label"], smoothing=0.2, pos_weight=torch.tensor([1.0, 3.0]))
    torch.testing.assert_close(student.losses(batch)["loss"], expected)


def test_a_compiled_student_is_compiled() -> None:
    plain, compiled = (tiny_student(compile=compile) for compile in (False, True))
    assert not isinstance(plain.model.forward_features, CompiledFeatures)
    assert isinstance(compiled.model.forward_features, CompiledFeatures)
