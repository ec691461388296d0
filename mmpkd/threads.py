"""How many threads of the CPU a model uses."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from data_modules.processors import num_processors

SMALL = 5_000_000


def set_threads(model: nn.Module) -> int:
    """Give a model on the CPU as many threads as it should have; return how many there were before.

    Models below 5 million parameters get one. Their results then do not depend on the number of processors, and a busy machine
    does not slow them down many times over, as it does where threads wait for each other in every layer; an idle second
    processor is used better by a second run (docs/benchmarks.md). Larger models use the processors that the process may use.
    """
    before = torch.get_num_threads()
    is_small = sum(parameter.numel() for parameter in model.parameters()) < SMALL
    torch.set_num_threads(1 if is_small else min(before, num_processors()))
    return before


def are_chosen() -> bool:
    """Return whether the user has set the number of threads, by OMP_NUM_THREADS; then nothing else changes it."""
    return os.environ.get("OMP_NUM_THREADS", "") != ""


@contextmanager
def suitable_threads(model: nn.Module, device: torch.device) -> Iterator[None]:
    """Run a block with as many threads as a model should have."""
    if are_chosen() or device.type != "cpu":
        yield
        return
    before = set_threads(model)
    try:
        yield
    finally:
        torch.set_num_threads(before)
