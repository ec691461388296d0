"""Fit, validation and test on a pretended device: what a GPU would refuse, and what the host would wait for."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor
from torch.testing._internal.distributed.fake_pg import FakeStore

from data_modules.batch import collate
from mmpkd.attribution import AttentionRollout
from mmpkd.callbacks.checkpoints.rng import RNGState
from mmpkd.callbacks.device_images import ImagesOnDevice
from mmpkd.callbacks.ema import EMA
from mmpkd.callbacks.localization.attribution_maps import AttributionMapLogger
from mmpkd.callbacks.localization.faithfulness import FaithfulnessMonitor
from mmpkd.callbacks.localization.monitor import LocalizationMonitor
from mmpkd.callbacks.run_config import SaveRunConfig
from mmpkd.cli.run_options import RunOptions
from mmpkd.cli.run_parts import run_callbacks
from mmpkd.losses import LossTerm, Objective
from mmpkd.modules import DistillationModule
from mmpkd.records import RunFolder
from mmpkd.teachers import FTTransformerEncoder, FusionEncoder, PrivilegedEncoder, TabularEncoder, TextEncoder
from mmpkd.teachers.lookup import StoredTeacher
from mmpkd.teachers.source import TeacherSource
from mmpkd.teachers.targets import load_targets
from mmpkd.teachers.teacher import FrozenTeacher, Teacher, TeacherIdentity, move_privileged
from tests.classes import concrete
from tests.data_modules.images.test_device_images import prepared_module
from tests.losses.test_all import LOSSES
from tests.pretended_device import DEVICE, MixedDevicesError, PretendedDevice, PretendedStrategy
from tests.tiny import TinyDataModule, tiny_student, write_targets

DOCS = Path(__file__).parents[1] / "docs" / "benchmarks.md"
PARTS = ("training step", "validation step", "end of validation", "test step")
STUDENT = {"depth": 1, "embed_dim": 16, "num_heads": 2, "proj_drop_rate": 0.2}


class Reads(Callback):
    """Sorts what was waited for by the part of the run."""

    def __init__(self, device: PretendedDevice) -> None:
        self.device = device
        self.by_part: dict[str, set[str]] = {part: set() for part in ("start", *PARTS)}

    def _take(self, part: str) -> None:
        self.by_part[part].update(read.split()[0].rstrip(":") for read in self.device.reads)
        self.device.reads.clear()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert pl_module.device == DEVICE
        self._take("start")

    def on_train_batch_end(self, *_: Any) -> None:
        self._take("training step")

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._take("start")

    def on_validation_batch_end(self, *_: Any) -> None:
        self._take("validation step")

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._take("end of validation")

    def on_test_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._take("start")

    def on_test_batch_end(self, *_: Any) -> None:
        self._take("test step")


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


def fit(
    student: DistillationModule,
    root: Path,
    folder: Path,
    *callbacks: Callback,
    data: TinyDataModule | None = None,
    ckpt_path: Path | None = None,
    **options: Any,
) -> Trainer:
    trainer = Trainer(
        callbacks=list(callbacks),
        logger=False,
        log_every_n_steps=1,
        limit_val_batches=1,
        limit_test_batches=1,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        inference_mode=False,  # it forbids views of tensors like the pretended ones
        default_root_dir=folder,
        **{
            "strategy": PretendedStrategy(),
            "max_epochs": 1,
            "limit_train_batches": 2,
            "enable_checkpointing": False,
            **options,
        },
    )
    trainer.fit(student, data or TinyDataModule(str(root)), ckpt_path=ckpt_path)
    return trainer


def documented() -> dict[str, set[str]]:
    """Return the files in which the documentation says that the device is waited for, and Lightning, by part of a run."""
    rows = re.findall(rf"^\| ({'|'.join(PARTS)}) \| (.*) \|$", DOCS.read_text(), re.MULTILINE)
    return {part: set(re.findall(r"mmpkd/[\w/]+\.py|Lightning", files)) for part, files in rows}


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
    several: dict[str, Any] = {"limit_train_batches": 3, "accumulate_grad_batches": 2}
    trainer = fit(student, tiny_root, tmp_path, *callbacks, data=data, enable_checkpointing=True, **several)
    trainer.test(student, TinyDataModule(str(tiny_root)), verbose=False)
    assert not reads.by_part["training step"]
    assert {part: reads.by_part[part] for part in PARTS} == documented()


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


def test_processes_exchange_tensors_of_the_device_only(
    targets: Path, tiny_root: Path, tmp_path: Path, device: PretendedDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NCCL takes no others. The other process of this group sends what this one does."""

    def all_gather_object(gathered: list[object], value: object) -> None:
        gathered[:] = [value] * len(gathered)  # moves its bytes to the right device itself

    # this process is the first one, which has what it sends
    monkeypatch.setattr(torch.distributed, "broadcast_object_list", lambda sent: None)
    monkeypatch.setattr(torch.distributed, "gather_object", lambda value, gathered: all_gather_object(gathered, value))
    monkeypatch.setattr(torch.distributed, "all_gather_object", all_gather_object)
    torch.distributed.init_process_group("fake", rank=0, world_size=2, store=FakeStore())
    try:
        student = module(targets)
        trainer = fit(student, tiny_root, tmp_path, LocalizationMonitor([AttentionRollout()], []), RNGState())
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
    finally:
        torch.distributed.destroy_process_group()


ENCODERS: dict[str, Callable[[], PrivilegedEncoder]] = {
    "text": lambda: TextEncoder(width=16, depth=1, num_heads=2, max_length=16),
    "table": lambda: TabularEncoder(width=8),
    "transformer": lambda: FTTransformerEncoder(width=8, depth=1, num_heads=2),
    "fusion": lambda: FusionEncoder(ENCODERS["text"](), ENCODERS["table"](), width=8),
}


@pytest.mark.parametrize("name", ENCODERS)
def test_a_live_teacher_gives_the_outputs_of_the_cpu(name: str, tiny_root: Path, device: PretendedDevice) -> None:
    data = TinyDataModule(str(tiny_root))
    encoder = ENCODERS[name]()
    encoder.build(encoder.learn(data.splits["train"]))
    teacher = FrozenTeacher(Teacher(encoder, 2), data.label_names, TeacherIdentity("", "", ""))
    batch = collate([data.dataset("train", False, True)[i] for i in range(6)])
    expected = teacher(batch["privileged"])
    teacher.to(DEVICE)
    found = teacher(move_privileged(batch["privileged"], DEVICE))
    for one, other in zip(found, expected, strict=True):
        assert one.device == DEVICE
        torch.testing.assert_close(one.cpu(), other, rtol=1e-4, atol=1e-5)


def test_a_step_gives_the_losses_and_gradients_of_the_cpu(
    targets: Path, tiny_root: Path, device: PretendedDevice
) -> None:
    data = TinyDataModule(str(tiny_root))
    batch: Any = collate([data.dataset("train", True, False)[i] for i in range(6)])
    found: list[dict[str, Tensor]] = []
    for place in (torch.device("cpu"), DEVICE):
        student = module(targets)
        student._teacher = StoredTeacher(load_targets(targets).align(data.splits["train"]))
        student.objective.build(student.student.num_features, student._teacher.num_features)
        student.objective.set_statistics(student._teacher.feature_statistics())
        student.to(place)
        student._teacher.to(place)
        torch.manual_seed(1)
        terms = student.losses(student.transfer_batch_to_device(batch, place, 0))
        terms["loss"].backward()
        gradients = {name: p.grad for name, p in student.named_parameters() if p.grad is not None}
        found.append({name: value.detach().cpu() for name, value in {**terms, **gradients}.items()})
    assert found[0].keys() == found[1].keys()
    for name, value in found[0].items():
        torch.testing.assert_close(found[1][name], value, rtol=1e-4, atol=1e-5, msg=name)
