"""Random numbers of each process: their own, and the same again in a resume."""

import random
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import LightningModule

from mmpkd.callbacks.checkpoints.rng import RNGState
from mmpkd.losses import CosineFeatureLoss, Objective
from mmpkd.numerics.generators import generator_state, seed_generators, set_generator_state

MODULE = LightningModule()
# what each of the three generators draws next
DRAWS: list[Callable[[], float]] = [
    random.random,
    np.random.random,
    lambda: float(torch.rand(())),
]


def draw() -> list[float]:
    return [one() for one in DRAWS]


def trainer(rank: int, world_size: int, epoch: int = 0) -> Any:
    return SimpleNamespace(global_rank=rank, world_size=world_size, current_epoch=epoch)


def started(rank: int, world_size: int, seed: int = 3, epoch: int = 0, saved: list[Any] | None = None) -> list[float]:
    """Return what a process draws first in a training; Lightning has seeded all processes alike."""
    seed_generators(0)
    callback = RNGState(seed)
    if saved is not None:
        callback.load_state_dict({"processes": saved})
    callback.on_train_start(trainer(rank, world_size, epoch), MODULE)
    return draw()


def test_a_state_brings_the_numbers_back() -> None:
    state = generator_state()
    first = draw()
    assert draw() != first
    set_generator_state(state)
    assert draw() == first


def test_streams_depend_on_seed_epoch_and_rank() -> None:
    streams = [started(r, 2, s, e) for r in (0, 1) for s in (3, 4) for e in (0, 5)]
    for one in range(len(DRAWS)):
        assert len({stream[one] for stream in streams}) == len(streams)
    assert started(1, 2) == started(1, 2)


def test_one_process_goes_on_with_the_stream_of_its_weights() -> None:
    seed_generators(0)
    expected = draw()
    assert started(0, 1) == expected


def test_a_resume_with_as_many_processes_restores_each_of_them() -> None:
    saved, expected = [], []
    for rank in (0, 1):
        started(rank, 2)
        saved.append(generator_state())
        expected.append(draw())
    assert [started(rank, 2, saved=saved) for rank in (0, 1)] == expected


@pytest.mark.parametrize("world_size", [1, 3])
def test_a_resume_with_another_number_of_processes_starts_streams_of_its_epoch(
    world_size: int, caplog: pytest.LogCaptureFixture
) -> None:
    saved = [generator_state()] * 2
    with caplog.at_level("INFO", logger="mmpkd"):
        streams = [started(rank, world_size, epoch=4, saved=saved) for rank in range(world_size)]
    assert "by 2 processes and this run has " + str(world_size) in caplog.text
    for rank, stream in enumerate(streams):
        seed_generators(3, 4, rank)
        assert stream == draw()


def test_the_state_is_that_of_the_current_gpu_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asking for another one would start a context in its memory; so would a GPU in a training on the CPU."""
    asked: list[str] = []
    restored: list[torch.Tensor] = []

    def get_rng_state(device: str = "cuda") -> torch.Tensor:
        asked.append(device)
        return torch.zeros(16)

    monkeypatch.setattr(torch.cuda, "get_rng_state", get_rng_state)
    assert "cuda" not in generator_state()
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    assert torch.equal(generator_state()["cuda"], torch.zeros(16))
    assert asked == ["cuda"]
    monkeypatch.setattr(torch.cuda, "set_rng_state", restored.append)
    state = generator_state()
    set_generator_state(state)
    set_generator_state({name: value for name, value in state.items() if name != "cuda"})  # saved without a GPU
    assert len(restored) == 1
    assert torch.equal(restored[0], state["cuda"])


def test_layers_of_losses_leave_the_generators_of_gpus_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    seeded: list[int] = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeded.append)
    weights = []
    for _ in range(2):
        objective = Objective(CosineFeatureLoss())
        objective.build(3, 2)
        weights.append(objective.state_dict()["distillation_loss.projection.weight"])
        torch.rand(3)
    assert torch.equal(*weights)
    assert not seeded
