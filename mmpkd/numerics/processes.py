"""The processes that train or evaluate together: how many there are, and values that they exchange."""

from collections.abc import Callable
from typing import Any, TypeVar

import torch.distributed
from torch.distributed import get_rank, get_world_size, is_available, is_initialized

T = TypeVar("T")


class FirstProcessError(ValueError):
    """Raised in the other processes if the first one failed at what it computes for all; it has the same message."""


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


def gather(value: Any) -> list[Any] | None:
    """Return the value of every process, in the order of ranks, in the first process, and None in the others.

    For what one process writes: the others do not hold what all have collected. This is a collective: every process must call it.

    Args:
        value: Anything that can be pickled, such as tables and dictionaries, which are not tensors.
    """
    if world_size() == 1:
        return [value]
    gathered = [None] * world_size() if rank() == 0 else None
    torch.distributed.gather_object(value, gathered)
    return gathered


def from_first(compute: Callable[[], T]) -> T:
    """Return in every process what the first one computes, while the others wait.

    This is a collective: every process must call it.

    Args:
        compute: Called in the first process only. What it returns can be pickled.

    Raises:
        Exception: In the first process, what `compute` raises; likewise SystemExit.
        FirstProcessError: In the others, in this case, so that none waits for ever.
    """
    if world_size() == 1:
        return compute()
    sent: list[Any] = [None, None]  # what is computed, and the message of an error
    error = None
    if rank() == 0:
        try:
            sent[0] = compute()
        except (Exception, SystemExit) as raised:
            # an error may not survive pickling, and its message is what the others have to say
            error = raised
            sent[1] = str(raised)
    torch.distributed.broadcast_object_list(sent)
    if error is not None:
        raise error
    if sent[1] is not None:
        raise FirstProcessError(sent[1])
    result: T = sent[0]
    return result
