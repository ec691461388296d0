"""The contract of a frozen teacher, row by row."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from mmpkd.cli.lightning_cli import main
from mmpkd.losses import CosineFeatureLoss, HardLabels, HintMSE, LossTerm, Objective
from mmpkd.metrics.classification import auroc
from mmpkd.modules import DistillationModule, TeacherModule
from mmpkd.students import load_student
from mmpkd.teachers import load_teacher
from mmpkd.teachers.controls import LabelOracle
from mmpkd.teachers.lookup import OnlineTeacher, StoredTeacher
from mmpkd.teachers.source import TargetsMode, TeacherSource
from tests.runs import config, student, text_teacher
from tests.tiny import TinyDataModule, tiny_student


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory, tiny_root: Path) -> Path:
    folder = tmp_path_factory.mktemp("teacher")
    main(["fit", *config(folder, "teacher", tiny_root, text_teacher(), trainer={"max_epochs": 6})])
    return folder / "teacher" / "checkpoints" / "best.ckpt"


class Spy(Callback):
    """Keeps what the module did with its teacher."""

    def __init__(self) -> None:
        self.training: list[bool] = []
        self.losses: list[float] = []

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        pl_module.train()  # what a user's hook may do
        assert isinstance(pl_module, DistillationModule)
        assert isinstance(pl_module._teacher, OnlineTeacher)
        pl_module._teacher(batch)
        self.training += [m.training for m in pl_module._teacher.teacher.teacher.modules()]


def fit(module: DistillationModule, root: Path, folder: Path, *callbacks: Callback, epochs: int = 1) -> Trainer:
    trainer = Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        callbacks=list(callbacks),
        default_root_dir=folder,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        log_every_n_steps=1,
    )
    torch.manual_seed(0)
    trainer.fit(module, TinyDataModule(str(root)))
    return trainer


def make(
    teacher: Path | None,
    targets: TargetsMode = "stored",
    extra: dict[str, LossTerm] | None = None,
    calibrate: bool = False,
) -> DistillationModule:
    torch.manual_seed(0)
    source = None if teacher is None else TeacherSource(str(teacher), targets, calibrate=calibrate)
    return DistillationModule(tiny_student(), source, Objective(extra_losses=extra))


def weights(path: Path) -> dict[str, torch.Tensor]:
    return {name: p.clone() for name, p in load_teacher(path).teacher.state_dict().items()}


def test_the_teacher_does_not_change_and_gets_no_gradient(teacher: Path, tiny_root: Path, tmp_path: Path) -> None:
    module = make(teacher, "online", {"cosine": LossTerm(CosineFeatureLoss(), 0.1)})
    before = weights(teacher)
    fit(module, tiny_root, tmp_path)
    assert isinstance(module._teacher, OnlineTeacher)
    network = module._teacher.teacher.teacher
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(p.grad is None and not p.requires_grad for p in network.parameters())


def test_the_teacher_stays_in_eval_mode_whatever_train_says(teacher: Path, tiny_root: Path, tmp_path: Path) -> None:
    spy = Spy()
    fit(make(teacher, "online"), tiny_root, tmp_path, spy)
    assert spy.training
    assert not any(spy.training)


def test_a_teacher_put_into_train_mode_still_answers_in_eval_mode(teacher: Path) -> None:
    frozen = load_teacher(teacher)
    expected = frozen({"report": ["bright left dark right"]})
    frozen.teacher.train()
    torch.testing.assert_close(frozen({"report": ["bright left dark right"]}).logits, expected.logits)


@pytest.mark.parametrize("mode", ["stored", "online"])
def test_the_teacher_is_no_parameter_no_state_and_not_in_the_optimizer(
    mode: TargetsMode, teacher: Path, tiny_root: Path, tmp_path: Path
) -> None:
    module = make(teacher, mode)
    trainer = fit(module, tiny_root, tmp_path)
    assert {name.split(".")[0] for name, _ in module.named_parameters()} == {"student"}
    optimized = {id(p) for group in trainer.optimizers[0].param_groups for p in group["params"]}
    assert optimized == {id(p) for p in module.parameters()}
    trainer.save_checkpoint(tmp_path / "student.ckpt")
    saved = torch.load(tmp_path / "student.ckpt", weights_only=True)
    assert {name.split(".")[0] for name in saved["state_dict"]} == {"student", "scores"}


def test_teacher_outputs_can_be_used_by_a_feature_loss(teacher: Path, tiny_root: Path, tmp_path: Path) -> None:
    # inference tensors could not: their use in a graph raises
    module = make(teacher, "online", {"cosine": LossTerm(CosineFeatureLoss())})
    before = module.student.model.head.weight.clone()
    fit(module, tiny_root, tmp_path)
    assert not torch.equal(before, module.student.model.head.weight)


def test_stored_and_online_targets_give_the_same_training(teacher: Path, tiny_root: Path, tmp_path: Path) -> None:
    students = []
    modes: tuple[TargetsMode, ...] = ("stored", "online")
    for mode in modes:
        extra = {"cosine": LossTerm(CosineFeatureLoss(), 0.1), "hint": LossTerm(HintMSE(), 0.1)}
        module = make(teacher, mode, extra, calibrate=True)
        fit(module, tiny_root, tmp_path)
        students.append(torch.cat([p.flatten() for p in module.student.parameters()]))
    torch.testing.assert_close(*students, rtol=0, atol=1e-6)


def test_the_training_process_holds_no_teacher_when_targets_are_stored(
    teacher: Path, tiny_root: Path, tmp_path: Path
) -> None:
    module = make(teacher)
    fit(module, tiny_root, tmp_path)
    assert isinstance(module._teacher, StoredTeacher)
    assert not any(isinstance(value, torch.nn.Module) for value in vars(module._teacher).values())


def test_student_tests_predicts_and_loads_with_the_teacher_deleted(
    tmp_path: Path, tiny_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    teacher_config = config(tmp_path, "teacher", tiny_root, text_teacher())
    main(["fit", *teacher_config])
    path = tmp_path / "teacher" / "checkpoints" / "best.ckpt"
    losses = {
        "cosine": {"loss": {"class_path": "mmpkd.losses.CosineFeatureLoss"}, "weight": 0.1},
        "contrast": {"loss": {"class_path": "mmpkd.losses.InfoNCE", "init_args": {"tau": 0.2}}},
    }
    arguments = config(
        tmp_path, "student", tiny_root, student(teacher={"path": str(path)}, objective={"extra_losses": losses})
    )
    main(["fit", *arguments])
    logged = pd.read_csv(tmp_path / "student" / "metrics.csv")["name"]
    assert {"train/cosine", "train/contrast", "train/distillation"} <= set(logged)
    best = tmp_path / "student" / "checkpoints" / "best.ckpt"
    path.unlink()
    main(["test", *arguments, "--ckpt_path", str(best)])
    assert "test/auroc_macro" in capsys.readouterr().out
    main(["predict", *arguments, "--ckpt_path", str(best)])
    without = config(tmp_path, "without", tiny_root, student())
    main(["test", *without, "--ckpt_path", str(best)])  # nor are the losses needed that it was trained with
    assert load_student(best)(torch.zeros(1, 1, 32, 32)).logits.shape == (1, 2)


def test_a_student_without_teacher_is_the_baseline(tiny_root: Path, tmp_path: Path) -> None:
    students = []
    for weight in (0.5, 0.9):
        torch.manual_seed(0)
        module = DistillationModule(tiny_student(), objective=Objective(weight=weight))
        fit(module, tiny_root, tmp_path)
        students.append(torch.cat([p.flatten() for p in module.student.parameters()]))
    torch.testing.assert_close(*students, rtol=0, atol=0)


def test_teacher_checkpoint_rebuilds_the_same_teacher_without_data(teacher: Path, tiny_root: Path) -> None:
    frozen = load_teacher(teacher)
    data = TinyDataModule(str(tiny_root))
    reports = data.splits["test"].report
    assert reports is not None
    output = frozen({"report": list(reports)})
    label = torch.from_numpy(data.splits["test"].label)
    has = torch.from_numpy(data.splits["test"].has_privileged)
    assert (auroc(output.logits[has], label[has]) > 0.9).all()
    assert frozen.label_names == data.label_names


def test_a_student_is_no_teacher(tmp_path: Path, tiny_root: Path) -> None:
    main(["fit", *config(tmp_path, "baseline", tiny_root, student())])
    with pytest.raises(ValueError, match="checkpoint of a teacher"):
        load_teacher(tmp_path / "baseline" / "checkpoints" / "best.ckpt")
    with pytest.raises(FileNotFoundError, match="Train the teacher first"):
        load_teacher(tmp_path / "nothing.ckpt")


def test_a_teacher_of_other_labels_is_refused(teacher: Path, tiny_root: Path, tmp_path: Path) -> None:
    trainer = Trainer(accelerator="cpu", logger=False, default_root_dir=tmp_path, enable_progress_bar=False)
    with pytest.raises(ValueError, match="Expected a teacher with the labels"):
        trainer.fit(make(teacher), TinyDataModule(str(tiny_root), label_names=("Right Finding", "Left Finding")))


def test_a_teacher_module_needs_no_images() -> None:
    assert TeacherModule.needs_images is False
    assert make(None).needs_privileged is False


def test_stored_and_online_targets_give_the_same_losses_in_mixed_precision(
    teacher: Path, tiny_root: Path, tmp_path: Path
) -> None:
    students = []
    modes: tuple[TargetsMode, ...] = ("stored", "online")
    for mode in modes:
        module = make(teacher, mode, {"cosine": LossTerm(CosineFeatureLoss(), 0.1)})
        trainer = Trainer(
            max_epochs=1,
            accelerator="cpu",
            precision="bf16-mixed",
            logger=False,
            default_root_dir=tmp_path,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        torch.manual_seed(0)
        trainer.fit(module, TinyDataModule(str(tiny_root)))
        students.append(torch.cat([p.flatten() for p in module.student.parameters()]))
    torch.testing.assert_close(*students, rtol=0, atol=1e-6)


def test_the_hint_knows_the_statistics_of_the_teachers_features(teacher: Path, tiny_root: Path, tmp_path: Path) -> None:
    hint = HintMSE()
    module = make(teacher, extra={"hint": LossTerm(hint)})
    fit(module, tiny_root, tmp_path)
    assert isinstance(module._teacher, StoredTeacher)
    known = module._teacher.features[module._teacher.available].float()
    torch.testing.assert_close(hint.mean, known.mean(0))
    torch.testing.assert_close(hint.std, known.std(0, correction=0))
    assert hint.mean.abs().max() > 0


def test_hard_labels_get_the_thresholds_of_the_teacher(teacher: Path, tiny_root: Path, tmp_path: Path) -> None:
    loss = HardLabels("validation")
    module = DistillationModule(tiny_student(), TeacherSource(str(teacher)), Objective(loss))
    fit(module, tiny_root, tmp_path)
    assert module._teacher is not None
    assert module._teacher.thresholds is not None
    torch.testing.assert_close(loss.threshold, module._teacher.thresholds)
    oracle = TeacherSource(control=LabelOracle())
    module = DistillationModule(tiny_student(), oracle, Objective(HardLabels("validation")))
    with pytest.raises(ValueError, match="Expected the teacher's thresholds"):
        fit(module, tiny_root, tmp_path)


def test_a_run_with_a_teacher_goes_on_where_it_was_killed(teacher: Path, tiny_root: Path, tmp_path: Path) -> None:
    losses = {
        "hint": {"loss": {"class_path": "mmpkd.losses.HintMSE"}, "weight": 0.1},
        "contrast": {"loss": {"class_path": "mmpkd.losses.InfoNCE"}, "weight": 0.1},
    }
    settings = student(teacher={"path": str(teacher), "calibrate": True}, objective={"extra_losses": losses})
    ends = []
    for name, stops in (("whole", [3]), ("parts", [1, 3])):
        for position, epochs in enumerate(stops):
            arguments = config(tmp_path, name, tiny_root, settings, trainer={"max_epochs": 3})
            last = tmp_path / name / "checkpoints" / "last.ckpt"
            resume = ["--ckpt_path", str(last)] if position else []
            # stopped by a callback, so that the learning rate is that of three epochs in both
            callback = ["--trainer.callbacks=tests.modules.stop.StopAfter", f"--trainer.callbacks.epochs={epochs}"]
            main(["fit", *arguments, *callback, *resume])
        ends.append(torch.load(last, weights_only=True)["state_dict"])
    assert ends[0].keys() == ends[1].keys()
    assert all(torch.equal(value, ends[1][key]) for key, value in ends[0].items())
    assert any("projection" in key for key in ends[0])
