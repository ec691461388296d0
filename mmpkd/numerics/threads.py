"""Number of CPU threads that a model uses."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from data_modules.processes.processors import num_processors

# number of parameters below which a model runs on one thread
SMALL = 5_000_000


def chosen_threads() -> int | None:
    """Return the number of threads that the user has set in OMP_NUM_THREADS, or None.

    As in OpenMP, the first number of a list is used, and a value that is not a positive number is ignored.
    """
    first = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    return int(first) if first.isdecimal() and int(first) > 0 else None


def use_all_threads() -> None:
    """Use the number of threads that the user has chosen, or else one per processor."""
    torch.set_num_threads(chosen_threads() or num_processors())


def set_threads(model: nn.Module, num_processes: int = 1) -> int:
    """Set a suitable number of threads for a model on the CPU.

    Models with fewer than 5 million parameters get one thread, which makes their results independent of the number of
    processors. On a busy machine, threads that wait for each other in every layer would make them many times slower, and a
    second run is a better use of an idle processor (docs/benchmarks.md). Larger models get all processors of this process.

    Args:
        model: The model.
        num_processes: Number of processes of this run that share the processors.

    Returns:
        The number of threads before.
    """
    before = torch.get_num_threads()
    is_small = sum(parameter.numel() for parameter in model.parameters()) < SMALL
    torch.set_num_threads(1 if is_small else max(1, num_processors() // num_processes))
    return before


@contextmanager
def suitable_threads(model: nn.Module, device: torch.device) -> Iterator[None]:
    """Run a block of code with a suitable number of threads for a model, unless the user has chosen a number."""
    if chosen_threads() is not None or device.type != "cpu":
        yield
        return
    before = set_threads(model)
    try:
        yield
    finally:
        torch.set_num_threads(before)
