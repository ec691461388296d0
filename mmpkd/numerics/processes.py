"""The processes that train or evaluate together: how many there are, and values that they exchange."""

from typing import Any

import torch.distributed
from torch.distributed import get_rank, get_world_size, is_available, is_initialized


def world_size() -> int:
    """Return the number of processes that train together; 1 without distributed training."""
    return get_world_size() if is_available() and is_initialized() else 1


def rank() -> int:
    """Return the position of this process, from 0 to `world_size() - 1`."""
    return get_rank() if is_available() and is_initialized() else 0


def all_gather(value: Any) -> list[Any]:
    """Return the value of every process, in the order of ranks.

    This is a collective: every process must call it.

    Args:
        value: Anything that can be pickled, such as tables and dictionaries, which are not tensors.
    """
    if world_size() == 1:
        return [value]
    gathered: list[Any] = [None] * world_size()
    torch.distributed.all_gather_object(gathered, value)
    return gathered
