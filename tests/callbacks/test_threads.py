"""Threads of models on the CPU."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from mmpkd.callbacks.threads import Threads


def threads_of(num_parameters: int, device: str = "cpu") -> tuple[int, int]:
    """Return the number of threads during a fit and after it, of a process that has three."""
    callback = Threads()
    trainer: Any = SimpleNamespace(strategy=SimpleNamespace(root_device=torch.device(device)))
    module: Any = nn.Module()
    module.weight = nn.Parameter(torch.empty(num_parameters, device="meta"))
    torch.set_num_threads(3)
    try:
        callback.on_fit_start(trainer, module)
        callback.on_validation_start(trainer, module)
        during = torch.get_num_threads()
        callback.teardown(trainer, module, "fit")
        return during, torch.get_num_threads()
    finally:
        torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _two_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr("mmpkd.threads.num_processors", lambda: 2)


@pytest.mark.parametrize(("num_parameters", "expected"), [(4_999_999, 1), (5_000_000, 2)])
def test_a_small_model_has_one_thread_and_a_large_one_the_processors(num_parameters: int, expected: int) -> None:
    assert threads_of(num_parameters) == (expected, 3)


def test_the_users_number_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert threads_of(10) == (3, 3)


def test_nothing_changes_on_a_gpu() -> None:
    assert threads_of(10, "cuda") == (3, 3)


def test_a_number_that_is_set_later_is_not_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lightning sets it when it starts the processes of a distributed run."""
    callback = Threads()
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    trainer: Any = SimpleNamespace(strategy=SimpleNamespace(root_device=torch.device("cpu")))
    callback.on_test_start(trainer, nn.Linear(2, 2))  # type: ignore[arg-type]
    assert torch.get_num_threads() == 1
