"""Training on a GPU: every arm, every precision, compiled, resumed, and by two processes."""

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from data_modules.images.device_images import augment
from data_modules.images.transforms import Augmentation
from mmpkd.callbacks.checkpoints.rng import RNGState
from mmpkd.callbacks.device_images import ImagesOnDevice
from mmpkd.callbacks.ema import EMA
from mmpkd.callbacks.nan_guard import NaNGuard, not_finite
from mmpkd.losses import LossTerm, Objective
from mmpkd.modules import DistillationModule
from mmpkd.students.vit import Option
from mmpkd.teachers.source import TeacherSource
from tests.data_modules.images.test_device_images import prepared_module
from tests.gpu.device import DEVICE, MARKS, ON_GPU, data, trainer
from tests.losses.test_all import LOSSES
from tests.losses.test_distributed import check_two_processes
from tests.tiny import tiny_student, write_targets

pytestmark = MARKS
REDUCED = ("bf16-mixed", "16-mixed", "bf16-true", "16-true")
OPTIONS: dict[str, Option] = {"depth": 2, "proj_drop_rate": 0.2}


class Losses(Callback):
    """Keeps the training loss of each step."""

    def __init__(self) -> None:
        self.values: list[float] = []

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.values.append(float(outputs["loss"]))


def module(
    teacher: TeacherSource | None = None, objective: Objective | None = None, **settings: Any
) -> DistillationModule:
    torch.manual_seed(0)
    return DistillationModule(tiny_student(options=OPTIONS, **settings), teacher, objective)


def fit(root: Path, folder: Path, *callbacks: Callback, compile: bool = False, **options: Any) -> dict[str, Tensor]:
    """Return the weights after a fit with every loss."""
    targets = folder / "targets"
    if not targets.exists():
        write_targets(targets, root)
    extra = {name: LossTerm(make(), 0.1) for name, make in LOSSES.items() if name != "softmax_kl"}
    student = module(TeacherSource(str(targets)), Objective(extra_losses=extra), compile=compile)
    ckpt_path = options.pop("ckpt_path", None)
    trainer(folder, *callbacks, **options).fit(student, data(root), ckpt_path=ckpt_path)
    weights = {name: value.cpu() for name, value in student.state_dict().items()}
    assert not not_finite(weights)
    return weights


@pytest.mark.parametrize("precision", ["32-true", *(pytest.param(name, marks=ON_GPU) for name in REDUCED)])
def test_a_fit_with_every_loss_ends_in_every_precision(precision: str, tiny_root: Path, tmp_path: Path) -> None:
    losses = Losses()
    average = [] if precision.endswith("true") and precision != "32-true" else [EMA(0.9)]
    fit(tiny_root, tmp_path, *average, NaNGuard(1), losses, precision=precision)
    assert len(losses.values) == 8
    if precision != "16-mixed":  # whose first steps may be skipped
        assert torch.tensor(losses.values).isfinite().all()


class SaveAt(Callback):
    """Saves after some step of the second epoch.

    Args:
        path: The checkpoint.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.current_epoch == 1 and batch_idx == 2:
            trainer.save_checkpoint(self.path)


@ON_GPU
def test_a_resume_inside_an_epoch_is_exact(tiny_root: Path, tmp_path: Path) -> None:
    """With deterministic algorithms: dropout goes on with the generator of the device."""
    path = tmp_path / "saved.ckpt"
    expected = fit(tiny_root, tmp_path, RNGState(), SaveAt(path), max_epochs=3, precision="bf16-mixed")
    found = fit(tiny_root, tmp_path, RNGState(), max_epochs=3, precision="bf16-mixed", ckpt_path=path)
    differences = {name: float((found[name].float() - value.float()).abs().max()) for name, value in expected.items()}
    assert max(differences.values()) == 0, max(differences, key=lambda name: differences[name])


@ON_GPU
def test_a_compiled_student_trains_as_an_eager_one(tiny_root: Path, tmp_path: Path) -> None:
    eager, compiled = Losses(), Losses()
    fit(tiny_root, tmp_path, eager, limit_train_batches=1)
    fit(tiny_root, tmp_path, compiled, limit_train_batches=1, compile=True)
    # dropout is drawn in another order by compiled code
    assert compiled.values[0] == pytest.approx(eager.values[0], rel=0.2)


@ON_GPU
def test_images_on_the_device_are_those_of_the_loader(tmp_path: Path) -> None:
    prepared = prepared_module(tmp_path)
    found, expected = Losses(), Losses()
    for losses, callbacks in ((expected, []), (found, [ImagesOnDevice()])):
        torch.manual_seed(0)
        student = DistillationModule(tiny_student(options={"depth": 2}))
        trainer(tmp_path, *callbacks, losses).fit(student, prepared)
    assert len(found.values) == 16
    torch.testing.assert_close(torch.tensor(found.values), torch.tensor(expected.values), rtol=1e-2, atol=1e-3)


def test_augmentation_on_the_device_is_that_of_the_cpu() -> None:
    image, index = torch.rand(16, 1, 32, 32), torch.arange(16)
    changes = Augmentation(shift=0.1, scale=0.2, rotate=20, brightness=0.1, contrast=0.1, horizontal_flip=0.5)
    expected = augment(image, changes, 3, 1, index)
    found = augment(image.to(DEVICE), changes, 3, 1, index.to(DEVICE))
    torch.testing.assert_close(found.cpu(), expected, rtol=0, atol=1e-3)


@ON_GPU
def test_two_processes_on_one_gpu_train_as_one(tmp_path: Path) -> None:
    check_two_processes(tmp_path, str(DEVICE))
