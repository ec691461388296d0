"""No checkpoint holds a value that is not finite, on any device and in any precision."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.plugins import MixedPrecision
from torch import nn

from mmpkd.callbacks.ema import EMA
from mmpkd.callbacks.nan_guard import NaNGuard, NonFiniteLossError, not_finite
from mmpkd.modules import DistillationModule
from tests.interrupt import BreakAt
from tests.quiet_trainer import quiet_trainer
from tests.tiny import TinyDataModule, tiny_student

TRAINER: Any = SimpleNamespace(precision_plugin=SimpleNamespace(), global_step=7)


class Net(LightningModule):
    """Weights, statistics, and a mask that is infinite by design."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
        self.register_buffer("mask", torch.tensor([0.0, -torch.inf]))

    def checkpoint(self) -> dict[str, Any]:
        optimizer = torch.optim.AdamW(self.parameters())
        self.layers(torch.randn(4, 2)).square().sum().backward()
        optimizer.step()
        weights = {name: value.clone() for name, value in self.state_dict().items()}
        return {"state_dict": weights, "optimizer_states": [optimizer.state_dict()]}


def saved(name: str) -> tuple[NaNGuard, Net, dict[str, Any]]:
    """Return a checkpoint with one broken value: of the weights, or of what is averaged, or of the optimizer."""
    net, guard = Net(), NaNGuard()
    guard.on_fit_start(TRAINER, net)
    checkpoint = net.checkpoint()
    if name.startswith("current "):
        checkpoint["current_model_state"] = {name.removeprefix("current "): torch.tensor([torch.nan])}
    elif " of parameter " in name:
        state, _, parameter = name.partition(" of parameter ")
        checkpoint["optimizer_states"][0]["state"][int(parameter)][state][0] = torch.inf
    elif name:
        checkpoint["state_dict"][name][-1] = torch.nan
    return guard, net, checkpoint


BROKEN = ["layers.0.weight", "layers.1.running_var", "current layers.0.bias", "exp_avg_sq of parameter 1"]


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_value_is_named_before_it_is_saved(name: str) -> None:
    guard, net, checkpoint = saved(name)
    with pytest.raises(
        NonFiniteLossError, match=rf"but got NaN or infinity in {name} at step 7\. No checkpoint was saved"
    ):
        guard.on_save_checkpoint(TRAINER, net, checkpoint)


def test_finite_values_and_masks_are_saved() -> None:
    guard, net, checkpoint = saved("")
    assert not_finite(checkpoint["state_dict"]) == ["mask"]
    guard.on_save_checkpoint(TRAINER, net, checkpoint)


def fit(module: DistillationModule, root: Path, folder: Path, *callbacks: Callback, **options: Any) -> None:
    trainer = quiet_trainer(folder, callbacks=list(callbacks), **options)
    trainer.fit(module, TinyDataModule(str(root), batch_size=1))


class BreakAndSave(Callback):
    """Saves in each step, and breaks the weights in the third, as gradients do that a GPU was not asked about."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if batch_idx == 2:
            next(pl_module.parameters()).data[0] = torch.nan
        trainer.save_checkpoint(self.path)


def module() -> DistillationModule:
    return DistillationModule(tiny_student(options={"depth": 1, "embed_dim": 16, "num_heads": 2}))


def test_the_checkpoint_before_stays(tiny_root: Path, tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    with pytest.raises(NonFiniteLossError, match="No checkpoint was saved"):
        fit(module(), tiny_root, tmp_path, EMA(0.5), NaNGuard(), BreakAndSave(path))
    checkpoint = torch.load(path, weights_only=True)
    assert checkpoint["global_step"] == 2
    assert not not_finite({**checkpoint["state_dict"], **checkpoint["current_model_state"]})


class BreakAlways(BreakAt):
    """Makes the gradients NaN in every step."""

    def on_after_backward(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.step = trainer.global_step
        super().on_after_backward(trainer, pl_module)


def test_a_training_that_diverges_at_once_promises_no_checkpoint(tiny_root: Path, tmp_path: Path) -> None:
    with pytest.raises(NonFiniteLossError, match="All earlier checkpoints are good") as error:
        fit(module(), tiny_root, tmp_path, NaNGuard(), BreakAlways(0))
    assert "at step 0" in str(error.value)
    assert "last checkpoint" not in str(error.value)


def float16(scale: float = 2.0**16) -> MixedPrecision:
    return MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu", init_scale=scale))


def test_a_scaler_that_skips_every_step_stops_the_training(tiny_root: Path, tmp_path: Path) -> None:
    student = module()
    with pytest.raises(NonFiniteLossError, match=r"skipped so many steps in a row that its scale is 7\.6e-06 at step"):
        fit(student, tiny_root, tmp_path, NaNGuard(), BreakAlways(0), plugins=float16())
    assert not not_finite(student.state_dict())


def test_a_scaler_may_skip_a_step(tiny_root: Path, tmp_path: Path) -> None:
    fit(module(), tiny_root, tmp_path, NaNGuard(), BreakAt(1), plugins=float16(), limit_train_batches=4)
