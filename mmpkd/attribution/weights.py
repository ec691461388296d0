"""Attention weights, from the arguments of a fused attention call or from the materialised softmax."""

from collections.abc import Sequence
from functools import reduce
from typing import Literal

import torch
from torch import Tensor

HeadFusion = Literal["mean", "max", "min"]
HEAD_FUSIONS: tuple[HeadFusion, ...] = ("mean", "max", "min")


def check_head_fusion(head_fusion: str) -> None:
    """Raise a ValueError if the fusion is not one of `HEAD_FUSIONS`."""
    if head_fusion not in HEAD_FUSIONS:
        raise ValueError(f"Expected `head_fusion` to be one of {HEAD_FUSIONS} but got '{head_fusion}'.")


def fuse(parts: Sequence[Tensor], head_fusion: HeadFusion) -> Tensor:
    """Fuse attention matrices of equal shape by their mean, maximum or minimum."""
    if len(parts) == 1:
        return parts[0]
    if head_fusion == "mean":
        return torch.stack(tuple(parts)).mean(0)
    return reduce(torch.maximum if head_fusion == "max" else torch.minimum, parts)


def fused_call_weights(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
    *,
    head_fusion: HeadFusion = "mean",
    rows: Tensor | None = None,
) -> Tensor:
    """Compute what `F.scaled_dot_product_attention` called with these arguments attends to, fused over heads.

    The heads are fused one by one, so that (B, H, N, N) never exists; softmax in float32, also under autocast.

    Args:
        query: Float (B, H, n, d).
        key: Float (B, H, m, d).
        value: Unused.
        attn_mask: Bool (True: may attend) or additive, broadcastable to (B, H, n, m), or None.
        dropout_p: Unused; the weights before dropout are meant.
        is_causal: Must be False.
        scale: Factor of the logits; 1 / sqrt(d) if None.
        enable_gqa: Must be False.
        head_fusion: How to fuse heads.
        rows: Int64 (b,), samples of the batch to compute; all if None.

    Returns:
        Float32 (b, n, m), not differentiable.

    Raises:
        ValueError: If the attention is causal or heads share keys.
    """
    del value, dropout_p
    if is_causal or enable_gqa:
        raise ValueError(
            "Expected attention without a causal mask and without grouped queries, as vision transformers have."
        )
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    num_heads = query.shape[1]
    with torch.no_grad(), torch.autocast(query.device.type, enabled=False):
        mask = _additive(attn_mask, query.shape[0], rows)
        if rows is not None:
            query, key = query[rows], key[rows]
        fused: Tensor | None = None
        for head in range(num_heads):
            logits = (query[:, head].float() * scale) @ key[:, head].float().transpose(-2, -1)
            if mask is not None:
                logits += mask[:, head if mask.shape[1] > 1 else 0]
            fused = _accumulate(fused, logits.softmax(-1), head_fusion)
    if fused is None:
        raise ValueError("Expected at least one attention head but got none.")
    return fused / num_heads if head_fusion == "mean" else fused


def _accumulate(fused: Tensor | None, weights: Tensor, head_fusion: HeadFusion) -> Tensor:
    if fused is None:
        return weights
    if head_fusion == "mean":
        return fused.add_(weights)
    return torch.maximum(fused, weights) if head_fusion == "max" else torch.minimum(fused, weights)


def _additive(mask: Tensor | None, batch_size: int, rows: Tensor | None) -> Tensor | None:
    """Return a mask as float32 (B or 1, H or 1, n or 1, m), with the wanted rows only."""
    if mask is None:
        return None
    if mask.dtype == torch.bool:
        mask = torch.zeros_like(mask, dtype=torch.float32).masked_fill(~mask, float("-inf"))
    mask = mask.detach().float()[(None,) * (4 - mask.ndim)]
    return mask[rows] if rows is not None and mask.shape[0] == batch_size and batch_size > 1 else mask


def materialised_weights(weights: Tensor, head_fusion: HeadFusion, rows: Tensor | None) -> Tensor:
    """Fuse a materialised attention (B, H, n, m) over heads, in float32.

    Talking heads (CaiT) mix heads after the softmax, with signed coefficients: the positive part is kept, and each row
    made to sum to 1 again. For an ordinary softmax this changes nothing.
    """
    positive = (weights if rows is None else weights[rows]).detach().float().clamp_min(0)
    positive = positive / positive.sum(-1, keepdim=True).clamp_min(torch.finfo(torch.float32).tiny)
    if head_fusion == "mean":
        return positive.mean(1)
    return positive.amax(1) if head_fusion == "max" else positive.amin(1)
