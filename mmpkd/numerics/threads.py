"""How many threads of the CPU a model uses."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from data_modules.processors import num_processors

SMALL = 5_000_000


def chosen_threads() -> int | None:
    """Return the number of threads that the user has set by OMP_NUM_THREADS, or None.

    As for OpenMP, it may be a list, of which the first number counts, and what is no positive number counts for nothing.
    """
    first = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    return int(first) if first.isdecimal() and int(first) > 0 else None


def use_all_threads() -> None:
    """Use as many threads as the user has chosen, else as many as there are processors."""
    torch.set_num_threads(chosen_threads() or num_processors())


def set_threads(model: nn.Module, num_processes: int = 1) -> int:
    """Give a model on the CPU as many threads as it should have; return how many there were before.

    Models below 5 million parameters get one. Their results then do not depend on the number of processors, and a busy machine
    does not slow them down many times over, as it does where threads wait for each other in every layer; an idle second
    processor is used better by a second run (docs/benchmarks.md). Larger models use the processors that the process may use.

    Args:
        model: The model.
        num_processes: Processes of this run that share the processors.
    """
    before = torch.get_num_threads()
    is_small = sum(parameter.numel() for parameter in model.parameters()) < SMALL
    torch.set_num_threads(1 if is_small else max(1, num_processors() // num_processes))
    return before


@contextmanager
def suitable_threads(model: nn.Module, device: torch.device) -> Iterator[None]:
    """Run a block with as many threads as a model should have, unless the user has chosen their number."""
    if chosen_threads() is not None or device.type != "cpu":
        yield
        return
    before = set_threads(model)
    try:
        yield
    finally:
        torch.set_num_threads(before)
