"""Attention weights, computed from the arguments of a fused call or taken from a materialised softmax."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, Literal

import torch
from torch import Tensor

from mmpkd.numerics.precision import exact_products

HeadFusion = Literal["mean", "max", "min"]
HEAD_FUSIONS: tuple[HeadFusion, ...] = ("mean", "max", "min")


def check_head_fusion(head_fusion: str) -> None:
    """Raise a ValueError if the fusion is not one of `HEAD_FUSIONS`."""
    if head_fusion not in HEAD_FUSIONS:
        raise ValueError(f"Expected `head_fusion` to be one of {HEAD_FUSIONS} but got '{head_fusion}'.")


def fuse(parts: Sequence[Tensor], head_fusion: HeadFusion) -> Tensor:
    """Fuse attention matrices of equal shape by their mean, maximum or minimum.

    Example:
        >>> import torch
        >>> fuse([torch.tensor([0.2, 0.8]), torch.tensor([0.4, 0.6])], "max")
        tensor([0.4000, 0.8000])
    """
    if len(parts) == 1:
        return parts[0]
    if head_fusion == "mean":
        return torch.stack(tuple(parts)).mean(0)
    return reduce(torch.maximum if head_fusion == "max" else torch.minimum, parts)


@dataclass(frozen=True)
class AttentionCall:
    """Arguments of a call of `F.scaled_dot_product_attention` that its weights depend on.

    Attributes:
        query: Float (B, H, n, d).
        key: Float (B, H, m, d).
        mask: Additive float32 (B or 1, H or 1, n or 1, m), or None.
        scale: Factor of the dot products of queries and keys.
    """

    query: Tensor
    key: Tensor
    mask: Tensor | None
    scale: float

    @property
    def num_heads(self) -> int:
        """Number of heads H."""
        return self.query.shape[1]

    def take(self, rows: Tensor | slice) -> "AttentionCall":
        """Return the call restricted to some samples of the batch."""
        # a mask with one row is shared by all samples
        shared = self.mask is None or len(self.mask) < len(self.query)
        mask = self.mask if shared or self.mask is None else self.mask[rows]
        return AttentionCall(self.query[rows], self.key[rows], mask, self.scale)

    def queries(self, queries: slice) -> "AttentionCall":
        """Return the call restricted to some queries of each sample."""
        shared = self.mask is None or self.mask.shape[2] == 1
        mask = self.mask if shared or self.mask is None else self.mask[:, :, queries]
        return AttentionCall(self.query[:, :, queries], self.key, mask, self.scale)

    def head(self, head: int) -> "AttentionCall":
        """Return the call restricted to one head."""
        one = slice(head, head + 1)
        shared = self.mask is None or self.mask.shape[1] == 1
        mask = self.mask if shared or self.mask is None else self.mask[:, one]
        return AttentionCall(self.query[:, one], self.key[:, one], mask, self.scale)

    def weights(self, head: int) -> Tensor:
        """Return the attention weights of one head, float32 (B, n, m); each row sums to 1."""
        query = self.query[:, head].float()  # (B, n, d)
        key = self.key[:, head].float()  # (B, m, d)
        logits = torch.bmm(query * self.scale, key.transpose(1, 2))
        if self.mask is not None:
            logits += self.mask[:, head if self.mask.shape[1] > 1 else 0]
        return logits.softmax(-1)


def attention_call(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> AttentionCall:
    """Return the arguments of `F.scaled_dot_product_attention` without dropout.

    Raises:
        ValueError: If the attention is causal or heads share keys (grouped queries).
    """
    del value, dropout_p
    if is_causal or enable_gqa:
        raise ValueError(
            f"Expected attention without a causal mask and without grouped queries, as in vision transformers, but got "
            f"is_causal={is_causal} and enable_gqa={enable_gqa}."
        )
    mask = None if attn_mask is None else _additive(attn_mask)
    return AttentionCall(query.detach(), key.detach(), mask, query.shape[-1] ** -0.5 if scale is None else scale)


def attention_values(query: Tensor, key: Tensor, value: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """Return the values (B, H, m, e) in the arguments of `F.scaled_dot_product_attention`."""
    del query, key, args, kwargs
    return value.detach()


def call_weights(call: AttentionCall, head_fusion: HeadFusion = "mean") -> Tensor:
    """Compute the attention weights of a call, fused over heads. The softmax is in float32 also under autocast.

    Heads are fused one at a time: all of them together, (B, H, n, m), would need a lot of memory. On a CPU, samples are also
    processed one at a time, which keeps logits, softmax and their sum in the cache.

    Args:
        call: The call.
        head_fusion: How to fuse heads: `mean`, `max` or `min`.

    Returns:
        Float32 (B, n, m), not differentiable.
    """
    with torch.no_grad(), exact_products(call.query.device.type):
        is_on_cpu = call.query.device.type == "cpu"
        parts = [call.take(slice(i, i + 1)) for i in range(len(call.query))] if is_on_cpu else [call]
        fused = [_fuse_heads(part, head_fusion) for part in parts]
    return fused[0] if len(fused) == 1 else torch.cat(fused)


def _fuse_heads(call: AttentionCall, head_fusion: HeadFusion) -> Tensor:
    """Return the attention weights fused over heads, float32 (B, n, m)."""
    query = (call.query.float() * call.scale).unbind(1)  # H times (B, n, d)
    key = call.key.float().transpose(2, 3).unbind(1)  # H times (B, d, m)
    # buffers that every head overwrites, so that no memory is allocated in the loop
    shape = (len(call.query), call.query.shape[2], call.key.shape[2])
    logits = torch.empty(shape, dtype=torch.float32, device=call.query.device)
    weights = torch.empty_like(logits)
    fused = torch.empty_like(logits)
    for head in range(call.num_heads):
        torch.bmm(query[head], key[head], out=logits)
        if call.mask is not None:
            logits += call.mask[:, head if call.mask.shape[1] > 1 else 0]  # heads may share one mask
        # the first head is written to the result directly
        torch.softmax(logits, -1, out=weights if head else fused)
        if head and head_fusion == "mean":
            fused += weights
        elif head:
            (torch.maximum if head_fusion == "max" else torch.minimum)(fused, weights, out=fused)
    return fused.div_(call.num_heads) if head_fusion == "mean" else fused


def _additive(mask: Tensor) -> Tensor:
    """Return a mask as additive float32 (B or 1, H or 1, n or 1, m); a boolean mask is true where attention is allowed."""
    if mask.dtype == torch.bool:
        mask = torch.zeros_like(mask, dtype=torch.float32).masked_fill(~mask, float("-inf"))
    # PyTorch broadcasts a mask over the leading axes that it lacks
    return mask.detach().float()[(None,) * (4 - mask.ndim)]


def positive_weights(weights: Tensor) -> Tensor:
    """Return materialised attention weights in float32 with entries >= 0 and rows that sum to 1.

    An ordinary softmax stays the same. Talking heads (CaiT) mix heads after the softmax with signed coefficients; then the
    positive part is kept, and each row is rescaled to sum to 1.

    Args:
        weights: Float (B, H, n, m).

    Returns:
        Float32 (B, H, n, m).

    Example:
        >>> import torch
        >>> positive_weights(torch.tensor([[[[0.6, 0.6, -0.2]]]]))
        tensor([[[[0.5000, 0.5000, 0.0000]]]])
    """
    positive = weights.detach().float().clamp_min(0)
    # a row may have no positive entry after talking heads: it becomes 0, not NaN
    return positive / positive.sum(-1, keepdim=True).clamp_min(torch.finfo(torch.float32).tiny)
