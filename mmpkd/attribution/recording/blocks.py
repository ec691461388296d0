"""The attention of one block, read in chunks of queries, so that nobody has to hold a matrix of all tokens with all tokens."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from mmpkd.attribution.recording.row import times

# weights of one sample that fit in the cache of a core, 1 MB
_CACHE_WEIGHTS = 2**18
# weights of all samples at a time on other devices, 8 MB: few calls, and little memory beside queries and keys
_DEVICE_WEIGHTS = 2**21


class BlockAttention(ABC):
    """Attention from n queries to m keys, fused over heads.

    The queries are the first n tokens. Those that follow attend to themselves alone: in the last block, nobody reads what they
    attend to.

    Args:
        shape: Batch size B, number of queries n, number of keys m.
        device: Device of the weights.
        rest: Weight with which tokens that are no queries attend to themselves.

    Attributes:
        shape: Batch size, number of queries, number of keys.
        device: Device of the weights.
        rows_sum_to_one: Whether each row of weights sums to 1 by construction.

    Example:
        >>> import torch
        >>> block = WholeAttention(torch.tensor([[[0.5, 0.5], [0.0, 1.0]]]))
        >>> block.weighted_sum(torch.tensor([[0.5, 0.5]]))
        tensor([[0.2500, 0.7500]])
    """

    rows_sum_to_one = False

    def __init__(self, shape: tuple[int, int, int], device: torch.device, rest: float = 1.0) -> None:
        self.shape = shape
        self.device = device
        self._rest = rest

    @abstractmethod
    def rows(self, queries: slice = slice(None)) -> Tensor:
        """Return the weights of some queries, float32 (B, c, m), entries >= 0.

        Args:
            queries: Which of the n queries, without a step; all by default.
        """

    def chunks(self) -> Iterator[slice]:
        """Return chunks of queries whose weights take little memory, in order; together they are all queries."""
        batch_size, num_queries, num_keys = self.shape
        # on a CPU, samples are processed one at a time
        fitting = _CACHE_WEIGHTS if self.device.type == "cpu" else _DEVICE_WEIGHTS // batch_size
        step = max(1, fitting // num_keys)
        return (slice(first, min(first + step, num_queries)) for first in range(0, num_queries, step))

    def weighted_sum(self, row: Tensor) -> Tensor:
        """Return the sum over queries of their weights, each times a factor.

        Args:
            row: Float32 (B, m), the factor of each token; m tokens, of which the first n are queries.

        Returns:
            Float32 (B, m).
        """
        total = self.rest_of(row)
        for queries in self.chunks():
            total += times(row[:, queries], self.rows(queries))
        return total

    def rest_of(self, row: Tensor) -> Tensor:
        """Return the part of `weighted_sum` that belongs to tokens that are no queries, float32 (B, m)."""
        total = self._rest * row
        total[:, : self.shape[1]] = 0
        return total


class WholeAttention(BlockAttention):
    """Attention whose weights are all in memory.

    Args:
        weights: Float (B, n, m), fused over heads.
        rest: Weight with which tokens that are no queries attend to themselves.
    """

    def __init__(self, weights: Tensor, rest: float = 1.0) -> None:
        batch_size, num_queries, num_keys = weights.shape
        super().__init__((batch_size, num_queries, num_keys), weights.device, rest)
        self._weights = weights

    def rows(self, queries: slice = slice(None)) -> Tensor:
        """Return the weights of some queries, float32 (B, c, m)."""
        return self._weights[:, queries].float()


class JoinedAttention(BlockAttention):
    """Parallel attentions of one block.

    Args:
        parts: Attentions of one shape, at least one.
        join: Joins the weights (B, c, m) of all parts.
        rest: Weight with which tokens that are no queries attend to themselves.
    """

    def __init__(
        self, parts: Sequence[BlockAttention], join: Callable[[Sequence[Tensor]], Tensor], rest: float = 1.0
    ) -> None:
        super().__init__(parts[0].shape, parts[0].device, rest)
        self._parts = parts
        self._join = join

    def rows(self, queries: slice = slice(None)) -> Tensor:
        """Return the joined weights of some queries, float32 (B, c, m)."""
        return self._join([part.rows(queries) for part in self._parts])
