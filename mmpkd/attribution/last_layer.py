"""Attention of the last block."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from mmpkd.attribution.attention_method import AttentionMethod
from mmpkd.attribution.base import evaluating
from mmpkd.attribution.layout import architecture, check_supported
from mmpkd.attribution.recording.attention import RecordedAttention, record_attention
from mmpkd.attribution.recording.blocks import BlockAttention, WholeAttention
from mmpkd.attribution.recording.calls import attention_calls
from mmpkd.attribution.recording.grouping import by_block
from mmpkd.attribution.recording.queries_keys import QueriesAndKeys
from mmpkd.attribution.recording.weights import AttentionCall, attention_call, positive_weights


class LastLayerAttention(AttentionMethod):
    """Attention of the last block, from the tokens that the classifier reads, fused over all heads.

    Source: Caron et al. 2021, section 4.2.2, https://arxiv.org/abs/2104.14294. The paper shows single heads; choosing one by
    its score on the test split would be selecting on test data.

    Args:
        head_fusion: How to fuse heads: `mean`, `max` or `min`.

    Example:
        >>> import timm
        >>> import torch
        >>> model = timm.create_model("vit_tiny_patch16_224", img_size=32, depth=1)
        >>> LastLayerAttention()(model, torch.zeros(1, 3, 32, 32)).shape
        torch.Size([1, 2, 2])
    """

    name = "last_layer"

    def token_relevance(self, recorded: RecordedAttention) -> Tensor:
        """Return the attention of the last block, weighted by how much the classifier reads each token, float32 (B, N)."""
        # rows fused by `max` or `min` do not sum to 1
        relevance = recorded.blocks[-1].weighted_sum(recorded.start)
        return relevance / relevance.sum(1, keepdim=True)


def attention_heads(student: nn.Module, image: Tensor) -> Tensor:
    """Return the attention of each head of the last block, for visual inspection only: no score uses a single head.

    Args:
        student: A student, or a timm vision transformer.
        image: Float (B, C, H, W), normalised.

    Returns:
        Float32 (B, H, h, w), one map per head; each map and its prefix mass sum to 1.

    Raises:
        TypeError: If the model has no global attention, from every token to every token.
        RuntimeError: If its last block has several attentions, or one that does not cover all tokens.

    Example:
        >>> import timm
        >>> import torch
        >>> model = timm.create_model("vit_tiny_patch16_224", img_size=32, depth=1)  # 3 heads, 2 x 2 patches
        >>> attention_heads(model, torch.zeros(1, 3, 32, 32)).shape
        torch.Size([1, 3, 2, 2])
    """
    model = check_supported(student)
    calls: list[AttentionCall | Tensor] = []

    def on_fused(args: tuple[Any, ...], kwargs: Mapping[str, Any], result: Tensor) -> Tensor:
        calls.append(attention_call(*args, **kwargs))
        return result

    def on_materialised(weights: Tensor) -> Tensor:
        calls.append(weights)
        return weights

    # two passes: the recorder says which tokens the classifier reads, but fuses the heads
    recorded = record_attention(student, image)
    with evaluating(student), torch.no_grad(), attention_calls(model, on_fused, on_materialised):
        student(image)
    last = by_block(model, recorded.layout, calls)[0][-1]
    heads = _heads(last[0])
    layout = recorded.layout
    num_queries = heads[0].shape[1]  # 1 if only the class token attends
    if len(last) != 1 or num_queries not in (1, layout.num_tokens):
        raise RuntimeError(
            f"Expected one attention over all tokens in the last block of {architecture(model)} but got {len(last)} of shape "
            f"{heads[0].shape[1:]}. Use LastLayerAttention."
        )
    start = _start_of_queries(recorded.start, num_queries, architecture(model))
    relevance = torch.stack([head.weighted_sum(start) for head in heads], dim=1)  # (B, H, N)
    return relevance[..., layout.num_prefix_tokens :].reshape(*relevance.shape[:2], *layout.grid)


def _start_of_queries(start: Tensor, num_queries: int, name: str) -> Tensor:
    """Return how much the classifier reads each query of the last block, (B, N), adding up to 1 for each image."""
    # tokens that are no queries of this block attend to nothing in it, so the others share their weight
    kept = torch.zeros_like(start)
    kept[:, :num_queries] = start[:, :num_queries]
    total = kept.sum(1, keepdim=True)
    if not (total > 0).all():
        raise RuntimeError(
            f"Expected tokens that the classifier of {name} reads to attend in the last block but only the class token does. Use "
            "LastLayerAttention."
        )
    return kept / total


def _heads(call: AttentionCall | Tensor) -> list[BlockAttention]:
    """Return the attention of each head."""
    if isinstance(call, Tensor):
        return [WholeAttention(weights) for weights in positive_weights(call).unbind(1)]
    return [QueriesAndKeys(call.head(head), "mean", None) for head in range(call.num_heads)]
