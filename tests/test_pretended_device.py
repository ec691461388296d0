"""Fit, validation and test on a pretended device: what a GPU would refuse, and what the host would wait for."""

import io
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback
from torch.testing._internal.distributed.fake_pg import FakeStore

from mmpkd.attribution import AttentionRollout
from mmpkd.callbacks.checkpoints.rng import RNGState
from mmpkd.callbacks.device_images import ImagesOnDevice
from mmpkd.callbacks.ema import EMA
from mmpkd.callbacks.localization.attribution_maps import AttributionMapLogger
from mmpkd.callbacks.localization.faithfulness import FaithfulnessMonitor
from mmpkd.callbacks.localization.monitor import LocalizationMonitor
from mmpkd.callbacks.predictions import PredictionWriter
from mmpkd.callbacks.run_config import SaveRunConfig
from mmpkd.cli.run_options import RunOptions
from mmpkd.cli.run_parts import run_callbacks
from mmpkd.losses import LossTerm, Objective
from mmpkd.modules import DistillationModule
from mmpkd.records import RunFolder
from mmpkd.teachers.source import TeacherSource
from tests.classes import concrete
from tests.data_modules.images.test_device_images import prepared_module
from tests.losses.test_all import LOSSES
from tests.pretended_device import DEVICE, MixedDevicesError, PretendedDevice, PretendedTensor
from tests.pretended_run import PARTS, Reads, documented, fit
from tests.tiny import TinyDataModule, tiny_student, write_targets

STUDENT = {"depth": 1, "embed_dim": 16, "num_heads": 2, "proj_drop_rate": 0.2}


@pytest.fixture(scope="module")
def targets(tmp_path_factory: pytest.TempPathFactory, tiny_root: Path) -> Path:
    return write_targets(tmp_path_factory.mktemp("targets") / "targets", tiny_root)


@pytest.fixture
def device() -> Iterator[PretendedDevice]:
    with PretendedDevice() as device:
        yield device


def module(targets: Path) -> DistillationModule:
    """Return a student with every loss."""
    torch.manual_seed(0)
    extra = {name: LossTerm(make(), 0.1) for name, make in LOSSES.items() if name != "softmax_kl"}
    objective = Objective(temperature=2.0, extra_losses=extra, pos_weight=[1.0, 2.0])
    return DistillationModule(tiny_student(options=STUDENT), TeacherSource(str(targets)), objective)


def every_callback(folder: Path) -> list[Callback]:
    """Return the callbacks of every run, and those that a configuration can add."""
    return [
        *run_callbacks(RunOptions(), RunFolder(folder), 0, has_bar=False),
        LocalizationMonitor(),
        AttributionMapLogger(num_images=1, num_examples=0),
        FaithfulnessMonitor(num_steps=1, max_images=1),
        EMA(0.5),
        ImagesOnDevice(),
    ]


def test_every_callback_is_tried(tmp_path: Path) -> None:
    of_the_command_line = {SaveRunConfig}  # writes a text before the model is there
    assert {type(callback) for callback in every_callback(tmp_path)} | of_the_command_line == {*concrete(Callback)}


def test_a_run_waits_for_the_device_where_the_documentation_says(
    targets: Path, tiny_root: Path, tmp_path: Path, device: PretendedDevice
) -> None:
    """Also: no tensor is on the wrong device, and none in float64, from the first step to the scores of the test."""
    reads = Reads(device)
    student = module(targets)
    callbacks = [*every_callback(tmp_path), reads]
    data = prepared_module(tmp_path)
    # with a step of two batches, between which the state at the last boundary is kept
    several: dict[str, Any] = {"limit_train_batches": 3, "accumulate_grad_batches": 2, "gradient_clip_val": 1.0}
    trainer = fit(student, tiny_root, tmp_path, *callbacks, data=data, enable_checkpointing=True, **several)
    trainer.test(student, TinyDataModule(str(tiny_root)), verbose=False)
    assert not reads.by_part["training step"]
    assert reads.by_part == {part: documented(part) for part in PARTS}


def test_an_average_that_goes_on_is_on_the_device(
    targets: Path, tiny_root: Path, tmp_path: Path, device: PretendedDevice
) -> None:
    path, average, reads = tmp_path / "saved.ckpt", EMA(0.5), Reads(device)
    first = fit(module(targets), tiny_root, tmp_path, EMA(0.5), accelerator="cpu", strategy="auto")
    first.save_checkpoint(path)
    fit(module(targets), tiny_root, tmp_path, average, reads, max_epochs=2, ckpt_path=path)
    assert average._average_model is not None
    assert {p.device for p in average._average_model.module.parameters()} == {DEVICE}
    assert not reads.by_part["training step"]


def refuse_tensors_of_the_device(value: object) -> None:
    """Raise an error if an object holds one: the process that reads it would have it on the device of the sender."""

    class Pickler(pickle.Pickler):
        def reducer_override(self, part: object) -> Any:
            if isinstance(part, PretendedTensor):
                raise MixedDevicesError("Expected an object without tensors of the device.")
            return NotImplemented

    Pickler(io.BytesIO()).dump(value)


def test_processes_exchange_tensors_of_the_device_only(
    targets: Path, tiny_root: Path, tmp_path: Path, device: PretendedDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NCCL takes no others. The other process of this group sends what this one does."""

    def all_gather_object(gathered: list[object], value: object) -> None:
        refuse_tensors_of_the_device(value)
        gathered[:] = [value] * len(gathered)  # moves its bytes to the right device itself

    # this process is the first one, which has what it sends
    monkeypatch.setattr(torch.distributed, "broadcast_object_list", lambda sent: None)
    monkeypatch.setattr(torch.distributed, "gather_object", lambda value, gathered: all_gather_object(gathered, value))
    monkeypatch.setattr(torch.distributed, "all_gather_object", all_gather_object)
    torch.distributed.init_process_group("fake", rank=0, world_size=2, store=FakeStore())
    try:
        student = module(targets)
        scored = [LocalizationMonitor([AttentionRollout()], []), FaithfulnessMonitor(num_steps=1), PredictionWriter()]
        trainer = fit(student, tiny_root, tmp_path, *scored, RNGState())
        trainer.test(student, TinyDataModule(str(tiny_root)), verbose=False)
    finally:
        torch.distributed.destroy_process_group()
    assert {"allreduce_", "allgather_"} <= set(device.collectives)


def test_the_double_refuses_a_tensor_of_the_cpu_in_a_collective(device: PretendedDevice) -> None:
    torch.distributed.init_process_group("fake", rank=0, world_size=2, store=FakeStore())
    try:
        torch.distributed.all_reduce(torch.ones(2).to(DEVICE))
        with pytest.raises(MixedDevicesError, match="allreduce_"):
            torch.distributed.all_reduce(torch.ones(2))
        with pytest.raises(MixedDevicesError, match="without tensors of the device"):
            refuse_tensors_of_the_device({"a": [torch.ones(1).to(DEVICE)]})
    finally:
        torch.distributed.destroy_process_group()
