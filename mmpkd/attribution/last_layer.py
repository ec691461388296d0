"""Attention of the last block."""

from torch import Tensor

from mmpkd.attribution.attention import RecordedAttention
from mmpkd.attribution.attention_method import AttentionMethod


class LastLayerAttention(AttentionMethod):
    """What the tokens that the head reads attend to in the last block (Caron et al. 2021, section 4.2.2,
    https://arxiv.org/abs/2104.14294), fused over all heads: picking a head on test data would be a choice of result.

    Args:
        head_fusion: How to fuse heads: `mean`, `max` or `min`.
    """  # noqa: D205

    name = "last_layer"

    def token_relevance(self, recorded: RecordedAttention) -> Tensor:
        """Return the attention of the last block, weighted by what the head reads, float32 (B, N)."""
        # no matrix product: autocast would do it in half precision
        relevance = (recorded.start.unsqueeze(2) * recorded.layers[-1]).sum(1)
        return relevance / relevance.sum(1, keepdim=True)
