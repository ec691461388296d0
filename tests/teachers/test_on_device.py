"""Teachers on a pretended device: they train there, and teach what they teach on the CPU."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from data_modules.batch import collate
from mmpkd.losses import LossTerm, Objective
from mmpkd.modules import DistillationModule, TeacherModule
from mmpkd.teachers import (
    FTTransformerEncoder,
    FusionEncoder,
    PrivilegedEncoder,
    TabularEncoder,
    TextEncoder,
    Windows,
)
from mmpkd.teachers.lookup import ImageTeacher, OnlineTeacher, StoredTeacher, TeacherLookup
from mmpkd.teachers.run_teachers import build_targets
from mmpkd.teachers.source import TeacherSource
from mmpkd.teachers.target_files import load_targets
from mmpkd.teachers.teacher import FrozenTeacher, Teacher, TeacherIdentity
from tests.classes import concrete
from tests.losses.test_all import LOSSES
from tests.pretended_device import DEVICE, PretendedDevice
from tests.pretended_run import Reads, documented, fit
from tests.tiny import TinyDataModule, tiny_student, write_student, write_targets

CPU = torch.device("cpu")
TEXT: dict[str, Any] = {"width": 16, "depth": 1, "num_heads": 2, "bucket_size": 3}
ENCODERS: dict[str, Callable[[], PrivilegedEncoder]] = {
    "text": lambda: TextEncoder(**TEXT, max_length=16),
    "windows": lambda: TextEncoder(**TEXT, max_length=5, windows=Windows(1)),
    "table": lambda: TabularEncoder(width=8),
    "transformer": lambda: FTTransformerEncoder(width=8, depth=1, num_heads=2),
    "fusion": lambda: FusionEncoder(ENCODERS["text"](), ENCODERS["table"](), width=8),
}


def frozen(name: str, data: TinyDataModule) -> FrozenTeacher:
    torch.manual_seed(0)
    encoder = ENCODERS[name]()
    encoder.build(encoder.learn(data.splits["train"]))
    return FrozenTeacher(Teacher(encoder, 2), data.label_names, TeacherIdentity("", "", ""))


def stored(folder: Path, data: TinyDataModule) -> StoredTeacher:
    return StoredTeacher(load_targets(write_targets(folder, data.root)).align(data.splits["train"]))


def online(folder: Path, data: TinyDataModule) -> OnlineTeacher:
    return OnlineTeacher(frozen("fusion", data), lambda: stored(folder, data), temperature=2.0)


def image(folder: Path, data: TinyDataModule) -> ImageTeacher:
    return ImageTeacher(write_student(folder / "student.ckpt", data.root), data.splits["train"].has_privileged)


LOOKUPS: dict[type[TeacherLookup], Callable[[Path, TinyDataModule], TeacherLookup]] = {
    StoredTeacher: stored,
    OnlineTeacher: online,
    ImageTeacher: image,
}


def test_every_kind_is_tried() -> None:
    assert {type(make()) for make in ENCODERS.values()} == {*concrete(PrivilegedEncoder)}
    assert LOOKUPS.keys() == {*concrete(TeacherLookup)}


@pytest.mark.parametrize("name", ENCODERS)
def test_targets_are_those_of_the_cpu(name: str, tiny_root: Path) -> None:
    data = TinyDataModule(str(tiny_root))
    found = []
    with PretendedDevice():
        for place in (CPU, DEVICE):
            teacher = frozen(name, data)
            found.append(build_targets([teacher], data.privileged_dataloader("val"), data.splits["val"], place))
            assert next(teacher.teacher.parameters()).device == place
    torch.testing.assert_close(*(torch.from_numpy(targets.logits) for targets in found), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(*(torch.from_numpy(targets.features) for targets in found), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", ENCODERS)
def test_a_teacher_trains_and_waits_for_the_device_where_the_documentation_says(
    name: str, tiny_root: Path, tmp_path: Path
) -> None:
    with PretendedDevice() as device:
        reads = Reads(device)
        fit(TeacherModule(ENCODERS[name](), 2), tiny_root, tmp_path, reads)
    assert reads.by_part["training step"] == waited_for(name)


def waited_for(name: str) -> set[str]:
    """Return what the documentation says of an encoder."""
    return documented("step with an encoder of text") if name in ("text", "windows", "fusion") else set()


def student(lookup: TeacherLookup) -> DistillationModule:
    """Return a student with every loss that the teacher allows."""
    torch.manual_seed(0)
    losses = {name: make() for name, make in LOSSES.items() if name != "softmax_kl"}
    if not isinstance(lookup, StoredTeacher):  # the others may know no statistics of their features
        losses = {name: loss for name, loss in losses.items() if not loss.needs_statistics}
    objective = Objective(extra_losses={name: LossTerm(loss, 0.1) for name, loss in losses.items()}, pos_weight=[1, 2])
    module = DistillationModule(tiny_student(), TeacherSource("of this test"), objective)
    objective.build(module.student.num_features, lookup.num_features)
    if objective.needs_statistics:
        objective.set_statistics(lookup.feature_statistics())
    module._teacher = lookup
    return module


@pytest.mark.parametrize("kind", LOOKUPS, ids=lambda kind: kind.__name__)
def test_a_step_gives_the_losses_and_gradients_of_the_cpu(
    kind: type[TeacherLookup], tiny_root: Path, tmp_path: Path
) -> None:
    data = TinyDataModule(str(tiny_root))
    batch: Any = collate([data.dataset("train", True, True)[i] for i in (0, 1, 2, 3, 4, 63)])  # the last has no teacher
    lookup = LOOKUPS[kind](tmp_path, data)
    found: list[dict[str, Tensor]] = []
    with PretendedDevice() as device:
        for place in (CPU, DEVICE):
            module = student(lookup).to(place)
            module.on_fit_start()
            own = data.transfer_batch_to_device(batch, place, 0)
            device.reads.clear()
            terms = module.losses(own)
            terms["loss"].backward()
            assert {read.split()[0] for read in device.reads} <= waited_for("fusion" if kind is OnlineTeacher else "")
            gradients = {name: p.grad for name, p in module.named_parameters() if p.grad is not None}
            found.append({name: value.detach().cpu() for name, value in {**terms, **gradients}.items()})
    assert found[0].keys() == found[1].keys()
    for name, value in found[0].items():
        torch.testing.assert_close(found[1][name], value, rtol=1e-3, atol=1e-4)
