"""Attention kept as queries and keys: memory linear in the number of tokens, weights computed when they are read."""

import math

import torch
from torch import Tensor

from mmpkd.attribution.recording.blocks import BlockAttention
from mmpkd.attribution.recording.weights import AttentionCall, HeadFusion, call_weights
from mmpkd.numerics.precision import exact_products

# weights that are computed at a time: they fit in the cache of a core, 1 MB
_TILE = 2**18


class QueriesAndKeys(BlockAttention):
    """Attention of a fused call without a mask.

    Args:
        call: The call; its queries and keys are copied.
        head_fusion: How to fuse heads: `mean`, `max` or `min`.
        log_sum_exp: Float32 (B, H, n), logarithm of the sum of the exponentials of each query's scaled dot products, which the
            forward pass computed; None if it is not known. With it, weights need neither their maximum nor their sum.
    """

    def __init__(self, call: AttentionCall, head_fusion: HeadFusion, log_sum_exp: Tensor | None) -> None:
        super().__init__((len(call.query), call.query.shape[2], call.key.shape[2]), call.query.device)
        # timm's queries, keys and values are views of one tensor, which a view would keep alive
        query, key = (part.clone(memory_format=torch.contiguous_format) for part in (call.query, call.key))
        self._call = AttentionCall(query, key, call.mask, call.scale)
        self._head_fusion: HeadFusion = head_fusion
        self._log_sum_exp = log_sum_exp
        self.rows_sum_to_one = head_fusion == "mean"

    def rows(self, queries: slice = slice(None)) -> Tensor:
        """Compute the weights of some queries, float32 (B, c, m)."""
        return call_weights(self._call.queries(queries), self._head_fusion)

    def weighted_sum(self, row: Tensor) -> Tensor:
        """Return the sum over queries of their weights, each times a factor, float32 (B, m); see `BlockAttention`."""
        if self._log_sum_exp is None or self._head_fusion != "mean":
            return super().weighted_sum(row)
        num_queries = self.shape[1]
        # a factor of 0 has the logarithm -inf, and its weights are 0
        shift = row[:, None, :num_queries].log() - self._log_sum_exp  # (B, H, n)
        with torch.no_grad(), exact_products(self.device.type):
            of_heads = sums_of_exponentials(self._call, shift)  # (B, H, m)
        return self.rest_of(row) + of_heads.mean(1)


def sums_of_exponentials(call: AttentionCall, shift: Tensor) -> Tensor:
    """Return the sum over queries of exp(scale q k + shift).

    Args:
        call: The call, in float32 and without a mask.
        shift: Float32 (B, H, n), added to the scaled dot products of each query.

    Returns:
        Float32 (B, H, m).

    Example:
        >>> import torch
        >>> token = torch.zeros(1, 1, 2, 1)
        >>> sums_of_exponentials(AttentionCall(token, token, None, 1.0), torch.zeros(1, 1, 2))
        tensor([[[2., 2.]]])
    """
    # powers of 2 take a third of the time of a softmax in PyTorch; powers of e take longer than it
    factor = math.log2(math.e)
    query, key, shift = call.query.flatten(0, 1), call.key.flatten(0, 1), factor * shift.flatten(0, 1)
    # (B*H, n, d), (B*H, m, d) and (B*H, n) from here on
    num_pairs, num_queries, num_keys = len(query), query.shape[1], key.shape[1]
    total = torch.zeros(num_pairs, num_keys, dtype=torch.float32, device=query.device)
    # small matrices of several heads together, or some rows of a large one
    step = max(1, min(num_queries, _TILE // num_keys))
    together = max(1, _TILE // (step * num_keys))
    for first in range(0, num_pairs, together):
        pairs = slice(first, first + together)
        transposed = key[pairs].transpose(1, 2)
        for start in range(0, num_queries, step):
            rows = slice(start, start + step)
            exponent = torch.baddbmm(
                shift[pairs, rows, None], query[pairs, rows], transposed, alpha=factor * call.scale
            )
            total[pairs] += exponent.exp2_().sum(1)
    return total.reshape(*call.query.shape[:2], num_keys)
