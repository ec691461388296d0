"""Means and batches over all processes of distributed training.

DistributedDataParallel averages gradients over W processes. If each process took the mean over its own part of the batch, the
result would be wrong whenever the parts hold different numbers of known labels or of samples with a teacher.
"""

import torch
from torch import Tensor
from torch.distributed import all_gather, all_reduce, get_rank, get_world_size

from mmpkd.numerics.processes import world_size


def masked_mean(total: Tensor, count: Tensor) -> Tensor:
    """Return this process's part of a mean over all processes.

    Averaged over processes, the results are the sum of all totals divided by the sum of all counts.

    Args:
        total: Sum of the losses on this process, scalar.
        count: Number of losses on this process, >= 0, scalar without a graph.

    Returns:
        Scalar; 0 if the count is 0 on every process.

    Example:
        >>> import torch
        >>> masked_mean(torch.tensor(6.0), torch.tensor(4))
        tensor(1.5000)
    """
    world = world_size()
    if world > 1:
        count = count.detach().clone()  # `all_reduce` works in place
        all_reduce(count)
        total = total * world  # undoes the division by W when gradients are averaged
    return total / count.clamp(min=1)


def share(part: Tensor, whole: Tensor) -> Tensor:
    """Return part / whole after summing both over all processes. Every process gets the same number.

    Args:
        part: Count on this process, scalar without a graph.
        whole: Total count on this process, scalar > 0 without a graph.

    Example:
        >>> import torch
        >>> share(torch.tensor(1.0), torch.tensor(4.0))
        tensor(0.2500)
    """
    if world_size() == 1:
        return part / whole
    sums = torch.stack([part, whole])
    all_reduce(sums)
    return sums[0] / sums[1]


def gather(value: Tensor) -> Tensor:
    """Concatenate the rows of all processes by rank, keeping gradients. Every process must have the same number of rows.

    Args:
        value: (B, ...) on this process.

    Returns:
        (W*B, ...).

    Example:
        >>> import torch
        >>> gather(torch.tensor([[1.0], [2.0]])).shape  # a single process
        torch.Size([2, 1])
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
        # each of the W processes computes the loss of the whole batch, and DDP divides by W after this sum
        gradient = gradient.contiguous()
        all_reduce(gradient)
        return gradient.chunk(get_world_size())[get_rank()]
