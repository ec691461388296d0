from pathlib import Path

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from mmpkd.attribution import AttentionRollout
from mmpkd.callbacks.ema import EMA
from mmpkd.cli.lightning_cli import main
from mmpkd.losses import Objective
from mmpkd.modules import DistillationModule
from mmpkd.modules.optimizer import OptimizerSettings
from mmpkd.students import VisionTransformerStudent
from mmpkd.students.output import ModelOutput
from mmpkd.teachers.controls import LabelOracle
from mmpkd.teachers.lookup import StoredTeacher
from mmpkd.teachers.source import TeacherSource
from mmpkd.teachers.targets import TargetsMeta, TeacherTargets
from tests.quiet_trainer import quiet_trainer
from tests.runs import config, text_teacher
from tests.runs import student as distilled
from tests.tiny import TinyDataModule, tiny_student

DEIT = "deit_tiny_distilled_patch16_224"
SMALL = {"depth": 2, "embed_dim": 48, "num_heads": 2}


def fit(module: DistillationModule, root: Path, folder: Path, **options: object) -> Trainer:
    trainer = quiet_trainer(folder, **options)
    trainer.fit(module, TinyDataModule(str(root)))
    return trainer


def changed(module: DistillationModule, before: dict[str, torch.Tensor]) -> set[str]:
    return {name for name, value in module.student.state_dict().items() if not torch.equal(value, before[name])}


def state(module: DistillationModule) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in module.student.state_dict().items()}


def test_a_linear_probe_changes_the_head_and_no_statistic(tiny_root: Path, tmp_path: Path) -> None:
    module = DistillationModule(tiny_student(linear_probe=True))
    before = state(module)
    fit(module, tiny_root, tmp_path)
    assert changed(module, before) == {"model.head.weight", "model.head.bias"}


def test_frozen_blocks_do_not_change(tiny_root: Path, tmp_path: Path) -> None:
    module = DistillationModule(tiny_student(options={"depth": 2}, frozen_blocks=1))
    before = state(module)
    fit(module, tiny_root, tmp_path)
    parts = {".".join(name.split(".")[1:3]) for name in changed(module, before)}
    assert "blocks.1" in parts
    assert not any(part.startswith(("blocks.0", "patch_embed", "pos_embed", "cls_token")) for part in parts)
    with pytest.raises(ValueError, match=r"frozen_blocks in \[0, 2\]"):
        tiny_student(options={"depth": 2}, frozen_blocks=3)


def test_learning_rates_shrink_towards_the_input(tiny_root: Path, tmp_path: Path) -> None:
    module = DistillationModule(
        tiny_student(options={"depth": 2}), optimizer=OptimizerSettings(lr=1e-3, layer_decay=0.5)
    )
    trainer = fit(module, tiny_root, tmp_path)
    rate = {id(p): g["initial_lr"] for g in trainer.optimizers[0].param_groups for p in g["params"]}
    by_name = {name: rate[id(p)] for name, p in module.student.named_parameters()}
    assert by_name["model.head.weight"] == pytest.approx(1e-3)
    assert by_name["model.blocks.0.attn.qkv.weight"] == pytest.approx(by_name["model.blocks.1.attn.qkv.weight"] / 2)
    assert by_name["model.patch_embed.proj.0.weight"] == pytest.approx(by_name["model.blocks.0.attn.qkv.weight"] / 2)
    assert set(rate) == {id(p) for p in module.parameters()}


def test_a_distillation_token_learns_from_the_teacher_and_the_class_token_from_labels() -> None:
    torch.manual_seed(0)
    module = DistillationModule(tiny_student(model_name=DEIT, options=SMALL), objective=Objective(weight=1.0))
    images = torch.randn(4, 1, 32, 32)
    task, student = module.student.forward_training(images)
    output = module.student(images)
    torch.testing.assert_close(output.logits, (task.logits + student.logits) / 2)
    everyone = torch.ones(4, dtype=torch.bool)
    teacher = ModelOutput(torch.randn(1, 4, 2), torch.randn(4, 3))
    terms = module.objective(task, student, torch.ones(4, 2), teacher, everyone, 0.0)
    terms["distillation"].backward()
    model = module.student.model
    assert model.head_dist.weight.grad.abs().sum() > 0
    assert model.head.weight.grad is None
    plain, same = VisionTransformerStudent("vit_nano_patch8_64", 2, 32, options={"depth": 1}).forward_training(images)
    assert plain is same


def test_a_baseline_with_a_distillation_token_trains_both_heads(tiny_root: Path, tmp_path: Path) -> None:
    module = DistillationModule(tiny_student(model_name=DEIT, options=SMALL))
    before = state(module)
    fit(module, tiny_root, tmp_path)
    assert {"model.head.weight", "model.head_dist.weight"} <= changed(module, before)


@pytest.mark.slow
def test_a_compiled_student_has_the_same_outputs_names_and_maps() -> None:
    torch.manual_seed(0)
    plain = DistillationModule(tiny_student(options={"depth": 2}))
    compiled = DistillationModule(tiny_student(options={"depth": 2}, compile=True))
    compiled.load_state_dict(plain.state_dict())
    images = torch.randn(2, 1, 32, 32)
    with torch.no_grad():
        for module in (plain, compiled):
            module.eval()
        torch.testing.assert_close(compiled.predict({"image": images}), plain.predict({"image": images}))
    maps = [AttentionRollout()(module.student, images) for module in (plain, compiled)]
    torch.testing.assert_close(maps[0], maps[1])
    assert not torch.allclose(maps[0], maps[0].mean())


def weights_of(path: Path) -> dict[str, torch.Tensor]:
    saved: dict[str, torch.Tensor] = torch.load(path, weights_only=True)["state_dict"]
    return saved


def test_an_average_of_the_weights_covers_the_layers_of_losses_and_goes_on_after_a_kill(
    tiny_root: Path, tmp_path: Path
) -> None:
    main(["fit", *config(tmp_path, "teacher", tiny_root, text_teacher())])
    teacher = tmp_path / "teacher" / "checkpoints" / "best.ckpt"
    losses = {"cosine": {"loss": {"class_path": "mmpkd.losses.CosineFeatureLoss"}, "weight": 0.1}}
    settings = distilled(teacher={"path": str(teacher)}, objective={"extra_losses": losses})
    callbacks = [{"class_path": "mmpkd.callbacks.ema.EMA", "init_args": {"decay": 0.9}}]
    stop = {"class_path": "tests.modules.stop.StopAfter", "init_args": {"epochs": 1}}
    ends = {}
    for name, parts in (("whole", [callbacks]), ("parts", [[*callbacks, stop], callbacks])):
        for position, part in enumerate(parts):
            trainer = {"max_epochs": 2, "callbacks": part, "gradient_clip_val": 1.0}
            last = tmp_path / name / "checkpoints" / "last.ckpt"
            resume = ["--ckpt_path", str(last)] if position else []
            main(["fit", *config(tmp_path, name, tiny_root, settings, trainer=trainer), *resume])
        ends[name] = weights_of(last)
    assert ends["whole"].keys() == ends["parts"].keys()
    assert all(torch.equal(value, ends["parts"][key]) for key, value in ends["whole"].items())
    current = torch.load(tmp_path / "whole" / "checkpoints" / "last.ckpt", weights_only=True)["current_model_state"]
    projection = "objective.extra.cosine.projection.weight"
    assert not torch.equal(ends["whole"][projection], current[projection])
    arguments = config(tmp_path, "whole", tiny_root, settings, trainer={"callbacks": callbacks})
    main(["test", *arguments, "--ckpt_path", str(tmp_path / "whole" / "checkpoints" / "best.ckpt")])


def test_an_average_is_what_its_decay_says(tiny_root: Path, tmp_path: Path) -> None:
    kept: list[torch.Tensor] = []

    class Keep(Callback):
        def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: object) -> None:
            assert isinstance(pl_module, DistillationModule)
            kept.append(pl_module.student.model.head.weight.detach().clone())

    module = DistillationModule(tiny_student())
    fit(module, tiny_root, tmp_path, callbacks=[Keep(), EMA(decay=0.5)])
    expected = kept[0]
    for value in kept[1:]:
        expected = 0.5 * expected + 0.5 * value
    torch.testing.assert_close(module.student.model.head.weight.detach(), expected)


def test_a_linear_probe_has_the_features_of_test_time_in_training() -> None:
    options = {**SMALL, "pos_drop_rate": 0.5, "patch_drop_rate": 0.5}
    student = tiny_student(model_name="vit_tiny_patch16_224", options=options, linear_probe=True)
    images = torch.randn(4, 1, 32, 32)
    expected = student.eval()(images).features
    torch.testing.assert_close(student.train()(images).features, expected)
    assert student.model.head.training


def test_frozen_blocks_keep_their_dropout_off_and_the_others_on() -> None:
    options = {**SMALL, "proj_drop_rate": 0.5}
    student = tiny_student(model_name="vit_tiny_patch16_224", options=options, frozen_blocks=1).train()
    first, second = student.model.blocks
    assert not any(part.training for part in first.modules())
    assert all(part.training for part in second.modules())


def test_layers_before_the_blocks_are_frozen_with_them() -> None:
    student = tiny_student(model_name="vit_base_patch16_clip_224", options=SMALL, frozen_blocks=1)
    trained = {name for name, p in student.model.named_parameters() if p.requires_grad}
    assert not any(name.startswith(("norm_pre", "patch_embed", "pos_embed", "blocks.0")) for name in trained)
    assert any(name.startswith("blocks.1") for name in trained)


def test_a_model_of_stages_is_trained_without_frozen_blocks() -> None:
    small = {"embed_dim": 16, "depths": [1, 1], "num_heads": [2, 2], "window_size": 4}
    name = "swinv2_tiny_window8_256"
    module = DistillationModule(tiny_student(model_name=name, image_size=64, options=small))
    assert module.predict({"image": torch.randn(2, 1, 64, 64)}).logits.shape == (2, 2)
    with pytest.raises(ValueError, match=r"frozen_blocks in \[0, 0\]"):
        tiny_student(model_name=name, image_size=64, options=small, frozen_blocks=1)


def test_a_distillation_token_is_what_the_teacher_is_compared_with() -> None:
    torch.manual_seed(0)
    student = tiny_student(model_name=DEIT, options=SMALL)
    module = DistillationModule(student, TeacherSource(control=LabelOracle()), Objective(weight=1.0)).eval()
    label = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    names = np.array(["a", "b"])
    targets = TargetsMeta(["x", "y"])
    logits = torch.randn(1, 2, 2).numpy()
    module._teacher = StoredTeacher(
        TeacherTargets(logits, np.zeros((2, 0), np.float16), np.ones(2, np.bool_), names, targets)
    )
    module.losses({"image": torch.randn(2, 1, 32, 32), "label": label, "index": torch.arange(2)})["loss"].backward()
    model = module.student.model
    assert model.head_dist.weight.grad.abs().sum() > 0
    assert model.head.weight.grad is None or model.head.weight.grad.abs().sum() == 0
