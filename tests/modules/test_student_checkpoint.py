"""A student's checkpoint holds the student, whatever it was trained with, and the layers that its training goes on with."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from data_modules.base import PrivilegedDataModule
from data_modules.table import TableDataModule
from mmpkd.callbacks.ema import EMA
from mmpkd.losses import DistillationLoss, HardLabels, LossTerm, Objective, SigmoidKLDivergence
from mmpkd.losses.schedules import Schedule
from mmpkd.modules import DistillationModule
from mmpkd.modules.distillation import check_labels
from mmpkd.students import load_student
from mmpkd.students.output import ModelOutput
from mmpkd.teachers.controls import LabelOracle, NoisyTargets, ShuffledTargets, TargetsControl
from mmpkd.teachers.source import TeacherSource
from mmpkd.teachers.targets import TargetsMeta, TeacherTargets
from tests.losses.test_all import LOSSES, make
from tests.quiet_trainer import quiet_trainer
from tests.tiny import NAMES, TinyDataModule, tiny_student

THRESHOLDS = [0.3, 0.6]


class Widening(DistillationLoss):
    """A loss of a user, with a buffer that grows when the teacher is known and a weight of its own from the start."""

    needs_thresholds = True

    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(()))
        self.at: torch.Tensor
        self.register_buffer("at", torch.zeros(()))

    def set_thresholds(self, thresholds: torch.Tensor) -> None:
        self.at = thresholds

    def reduce(self, student: ModelOutput, teacher: ModelOutput, available: torch.Tensor) -> torch.Tensor:
        return ((student.logits.sigmoid() - self.at) * self.scale).square().mean() + 0 * teacher.logits.sum()


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory, tiny_root: Path) -> str:
    split = TinyDataModule(str(tiny_root), num_eval=8).splits["train"]
    rng = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp("targets") / "targets"
    TeacherTargets(
        rng.normal(size=(1, len(split), 2)).astype(np.float32),
        rng.normal(size=(len(split), 3)).astype(np.float16),
        split.has_privileged,
        split.sample_id,
        TargetsMeta(list(NAMES), thresholds=THRESHOLDS),
    ).save(folder)
    return str(folder)


def trainer(folder: Path, *callbacks: Callback) -> Trainer:
    return quiet_trainer(
        folder,
        max_epochs=2,
        limit_train_batches=2,
        limit_val_batches=1,
        limit_test_batches=1,
        callbacks=list(callbacks),
    )


def with_all_losses(teacher: str) -> DistillationModule:
    names = [name for name in LOSSES if name != "softmax_kl"]
    extra = {name: LossTerm(LOSSES[name](), Schedule(0.0, 0.1)) for name in names}
    extra |= {"own": LossTerm(Widening(), 0.1)}
    return student(TeacherSource(teacher), Objective(HardLabels("validation"), extra_losses=extra))


def student(teacher: TeacherSource | None = None, objective: Objective | None = None) -> DistillationModule:
    torch.manual_seed(0)
    return DistillationModule(tiny_student(), teacher, objective)


def controlled(control: TargetsControl) -> Callable[[str], DistillationModule]:
    def build(teacher: str) -> DistillationModule:
        loss = HardLabels("validation") if control.needs_teacher else SigmoidKLDivergence()
        path = teacher if control.needs_teacher else None
        return student(TeacherSource(path, control=control), Objective(loss))

    return build


class SaveFirstEpoch(Callback):
    """Saves a checkpoint after the first epoch, as `last.ckpt` is saved."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.current_epoch == 0:
            trainer.save_checkpoint(self.path)


MAKERS: dict[str, Callable[[str], DistillationModule]] = {
    "all losses": with_all_losses,
    "average": with_all_losses,
    "shuffled": controlled(ShuffledTargets()),
    "noise": controlled(NoisyTargets(0.5)),
    "oracle": controlled(LabelOracle()),
}


@pytest.mark.parametrize("name", MAKERS)
def test_a_checkpoint_is_tested_loaded_and_gone_on_with(
    name: str, teacher: str, tiny_root: Path, tmp_path: Path
) -> None:
    build, data = MAKERS[name], TinyDataModule(str(tiny_root), num_eval=8)
    path, images = tmp_path / "student.ckpt", torch.rand(2, 1, 32, 32)

    def run(*callbacks: Callback) -> Trainer:
        return trainer(tmp_path, *callbacks, *([EMA(decay=0.5)] if name == "average" else []))

    whole, resumed = build(teacher), build(teacher)
    run(SaveFirstEpoch(path)).fit(whole, data)
    run().fit(resumed, data, ckpt_path=path)
    assert whole.state_dict().keys() == resumed.state_dict().keys()
    for key, value in whole.state_dict().items():
        torch.testing.assert_close(value, resumed.state_dict()[key], rtol=0, atol=0, msg=key)
    if build is with_all_losses:
        assert isinstance(resumed.objective.distillation_loss, HardLabels)
        assert resumed.objective.distillation_loss.threshold.tolist() == pytest.approx(THRESHOLDS)
    expected = load_student(path)(images).logits
    for tested in (build(teacher), student(), resumed):
        run().test(tested, data, ckpt_path=path, verbose=False)
        torch.testing.assert_close(tested.eval().student(images).logits, expected)
    loaded = DistillationModule.load_from_checkpoint(path, student=tiny_student())
    torch.testing.assert_close(loaded.eval().student(images).logits, expected)


class KeepThresholds(Callback):
    """Keeps the thresholds that the last validation found."""

    found: torch.Tensor

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, DistillationModule)
        self.found = pl_module.scores.thresholds.clone()


def test_an_average_of_the_weights_does_not_average_thresholds(tiny_root: Path, tmp_path: Path) -> None:
    keep, module = KeepThresholds(), student()
    short = trainer(tmp_path, keep, EMA(decay=0.5))
    short.check_val_every_n_epoch = 2
    short.fit_loop.max_epochs = 3
    short.fit(module, TinyDataModule(str(tiny_root), num_eval=8))
    assert not torch.equal(keep.found, torch.full((2,), 0.5))
    torch.testing.assert_close(module.scores.thresholds, keep.found, rtol=0, atol=0)


@pytest.mark.parametrize("name", LOSSES)
def test_what_a_loss_saves_is_what_it_trains(name: str) -> None:
    loss = make(name)
    loss.set_thresholds(torch.tensor([0.1, 0.9]))
    assert set(loss.state_dict()) == {key for key, _ in loss.named_parameters()}


@pytest.mark.parametrize(
    ("data", "setting"),
    [
        (SimpleNamespace(label_setting=TableDataModule.label_setting), "data.label_columns"),
        (SimpleNamespace(label_setting=PrivilegedDataModule.label_setting), "data.label_names"),
        (SimpleNamespace(), "the data module's labels"),
    ],
)
def test_other_labels_are_refused_with_the_setting_of_the_data_module_in_use(data: Any, setting: str) -> None:
    with pytest.raises(ValueError, match=f"Set {setting} to the student's labels, in the same order"):
        check_labels(["a", "b"], ["b", "a"], data)
