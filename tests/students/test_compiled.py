"""A compiled student is a student: copied, averaged or sent to another process, it runs its own weights."""

import copy
import pickle
from collections.abc import Callable

import pytest
import torch
from torch.optim.swa_utils import AveragedModel

from mmpkd.attribution import AttentionRollout
from mmpkd.students import VisionTransformerStudent

IMAGE = torch.randn(2, 1, 16, 16, generator=torch.Generator().manual_seed(0))


def build(is_compiled: bool) -> VisionTransformerStudent:
    torch.manual_seed(0)
    options = {"depth": 1, "embed_dim": 16, "num_heads": 2}
    student = VisionTransformerStudent("vit_nano_patch8_64", 2, 16, options=options).eval()
    if is_compiled:
        student.compile_features("eager")
    return student


@torch.no_grad()
def change(student: torch.nn.Module) -> None:
    for parameter in student.parameters():
        parameter.mul_(1.5).add_(0.1)


@pytest.mark.parametrize("copied", ["deepcopy", "pickle", "average"])
def test_a_copy_runs_its_own_weights_and_is_compiled(copied: str) -> None:
    plain, student = build(False), build(True)
    if copied == "deepcopy":
        twin: torch.nn.Module = copy.deepcopy(student)
    elif copied == "pickle":
        twin = pickle.loads(pickle.dumps(student))
    else:
        twin = AveragedModel(student).module
    assert isinstance(twin, VisionTransformerStudent)
    before = plain(IMAGE)
    change(twin)
    change(plain)
    with torch.no_grad():
        for found, expected in ((student(IMAGE), before), (twin(IMAGE), plain(IMAGE))):
            torch.testing.assert_close(found.logits, expected.logits)
            torch.testing.assert_close(found.features, expected.features)
    torch.testing.assert_close(AttentionRollout()(twin, IMAGE), AttentionRollout()(plain, IMAGE))
    assert twin.model.forward_features.model is twin.model


def test_a_copy_is_compiled_too(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[str] = []

    def compile_instead(features: Callable[..., torch.Tensor], backend: str) -> Callable[..., torch.Tensor]:
        compiled.append(backend)
        return features

    monkeypatch.setattr(torch, "compile", compile_instead)
    student = build(False)
    student.compile_features("another")
    copy.deepcopy(student)(IMAGE)
    assert compiled == ["another"]
