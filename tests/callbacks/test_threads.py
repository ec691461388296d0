"""Threads of models on the CPU."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from mmpkd.callbacks.threads import Threads
from mmpkd.numerics.threads import chosen_threads


def trainer_on(device: str, num_devices: int = 1) -> Any:
    return SimpleNamespace(strategy=SimpleNamespace(root_device=torch.device(device)), num_devices=num_devices)


def threads_of(num_parameters: int, device: str = "cpu") -> tuple[int, int]:
    """Return the number of threads during a fit and after it, of a process that has three."""
    callback = Threads()
    trainer = trainer_on(device)
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
    monkeypatch.setattr("mmpkd.numerics.threads.num_processors", lambda: 2)


@pytest.mark.parametrize(("num_parameters", "expected"), [(4_999_999, 1), (5_000_000, 2)])
def test_a_small_model_has_one_thread_and_a_large_one_the_processors(num_parameters: int, expected: int) -> None:
    assert threads_of(num_parameters) == (expected, 3)


def test_the_users_number_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert threads_of(10) == (3, 3)


def test_nothing_changes_on_a_gpu() -> None:
    assert threads_of(10, "cuda") == (3, 3)


@pytest.mark.parametrize(("text", "expected"), [("4", 4), ("4,2", 4), ("", None), ("0", None), ("abc", None)])
def test_the_variable_is_read_as_openmp_reads_it(
    text: str, expected: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", text)
    assert chosen_threads() == expected


@pytest.fixture
def _three_threads() -> Iterator[None]:
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(1)


@pytest.mark.usefixtures("_three_threads")
def test_a_number_that_is_set_later_is_not_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lightning sets it when it starts the processes of a distributed run."""
    callback = Threads()
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    callback.on_test_start(trainer_on("cpu"), nn.Linear(2, 2))  # type: ignore[arg-type]
    assert torch.get_num_threads() == 1


@pytest.mark.usefixtures("_three_threads")
def test_processes_of_a_run_share_the_processors() -> None:
    large: Any = nn.Module()
    large.weight = nn.Parameter(torch.empty(5_000_000, device="meta"))
    Threads().on_fit_start(trainer_on("cpu", num_devices=2), large)
    assert torch.get_num_threads() == 1
