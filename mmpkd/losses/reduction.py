"""Means and batches over all processes of a distributed training.

DistributedDataParallel averages gradients over W processes. A mean that each process takes over its own share of a batch is
therefore wrong as soon as the shares hold different numbers of stated labels or available teachers.
"""

import torch
from torch import Tensor
from torch.distributed import all_gather, all_reduce, get_rank, get_world_size, is_available, is_initialized


def world_size() -> int:
    """Return the number of processes that train together."""
    return get_world_size() if is_available() and is_initialized() else 1


def masked_mean(total: Tensor, count: Tensor) -> Tensor:
    """Return total / count, so that the average over processes is the sum of totals over the sum of counts.

    Args:
        total: Sum of losses on this process, scalar.
        count: What it is divided by on this process, >= 0, scalar without a graph.

    Returns:
        Scalar; 0 where no process counted anything.
    """
    world = world_size()
    if world > 1:
        count = count.detach().clone()
        all_reduce(count)
        total = total * world
    return total / count.clamp(min=1)


def share(part: Tensor, whole: Tensor) -> Tensor:
    """Return part / whole, both summed over all processes: the same number in each of them.

    Args:
        part: How many there are on this process, scalar without a graph.
        whole: Of how many on this process, scalar > 0 without a graph.
    """
    if world_size() == 1:
        return part / whole
    sums = torch.stack([part, whole])
    all_reduce(sums)
    return sums[0] / sums[1]


def gather(value: Tensor) -> Tensor:
    """Return the rows of all processes, in their order, with a gradient; every process must have as many rows.

    Args:
        value: (B, ...) on this process.

    Returns:
        (W B, ...).
    """
    if world_size() == 1:
        return value
    result: Tensor = _Gather.apply(value)
    return result


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: object, value: Tensor) -> Tensor:
        value = value.contiguous()
        parts = [torch.empty_like(value) for _ in range(get_world_size())]
        all_gather(parts, value)
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> Tensor:
        # every process has the loss of the whole batch: the sum of their gradients, averaged by DDP, is its gradient
        gradient = gradient.contiguous()
        all_reduce(gradient)
        return gradient.chunk(get_world_size())[get_rank()]
