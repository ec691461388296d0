"""Attention rollout."""

from collections.abc import Iterable, Sequence

from torch import Tensor

from mmpkd.attribution.attention_method import AttentionMethod
from mmpkd.attribution.recording.attention import RecordedAttention
from mmpkd.attribution.recording.blocks import BlockAttention, WholeAttention
from mmpkd.attribution.recording.row import first_row, times
from mmpkd.attribution.recording.weights import HeadFusion, check_head_fusion, fuse


def attention_rollout(
    attentions: Sequence[Tensor],
    *,
    start: Tensor | None = None,
    head_fusion: HeadFusion = "mean",
    discard_ratio: float = 0.0,
    residual_weight: float = 0.5,
    first_block: int = 0,
) -> Tensor:
    """Trace attention from the output tokens back to the input tokens.

    Let F_l be the attention of block l fused over heads, w the residual weight, and M_l the matrix (1 - w) F_l + w I with rows
    normalised to sum to 1. The result is start M_L ... M_1 (Abnar & Zuidema 2020, section 3,
    https://arxiv.org/abs/2005.00928, where w = 0.5). Only this row is computed, in O(L N^2) instead of O(L N^3).

    Args:
        attentions: One float tensor per block, first block first: (B, H, N, N), or (B, N, N) if already fused. Queries
            are rows; entries are >= 0.
        start: Float (B, N) or (N,), weights of the output tokens; token 0, the class token, if None.
        head_fusion: How to fuse heads: `mean`, `max` or `min`.
        discard_ratio: Share in [0, 1) of the smallest weights of each row that are set to 0.
        residual_weight: Weight w in [0, 1] of the residual connection.
        first_block: Index of the first block to use.

    Returns:
        Float32 (B, N), relevance of each input token; each row has the same sum as its start row.

    Raises:
        ValueError: If an argument is out of range or shapes do not fit.

    Example:
        >>> import torch
        >>> attention = torch.tensor([[[0.0, 1.0], [0.0, 1.0]]])  # both tokens attend to the patch only
        >>> attention_rollout([attention, attention])
        tensor([[0.2500, 0.7500]])
    """
    check_head_fusion(head_fusion)
    _check_options(len(attentions), discard_ratio, residual_weight, first_block)
    _check_shapes(attentions)
    blocks = (_fused(attention, head_fusion) for attention in reversed(attentions[first_block:]))
    return _carried(blocks, first_row(start, attentions[0]), discard_ratio, residual_weight)


class AttentionRollout(AttentionMethod):
    """Attention rollout (Abnar & Zuidema 2020, https://arxiv.org/abs/2005.00928), from the tokens that the classifier reads.

    Args:
        head_fusion: How to fuse heads: `mean`, `max` or `min`.
        discard_ratio: Share in [0, 1) of the smallest weights of each row that are set to 0.
        residual_weight: Weight in [0, 1] of the residual connection.
        first_block: Index of the first block to use.

    Raises:
        ValueError: If an argument is out of range.

    Example:
        >>> import timm
        >>> import torch
        >>> model = timm.create_model("vit_tiny_patch16_224", img_size=32, depth=2)
        >>> AttentionRollout()(model, torch.zeros(1, 3, 32, 32)).shape
        torch.Size([1, 2, 2])
    """

    name = "rollout"

    def __init__(
        self,
        head_fusion: HeadFusion = "mean",
        discard_ratio: float = 0.0,
        residual_weight: float = 0.5,
        first_block: int = 0,
    ) -> None:
        super().__init__(head_fusion)
        self.discard_ratio = discard_ratio
        self.residual_weight = residual_weight
        self.first_block = first_block
        # the number of blocks is not known yet, so only a negative `first_block` is refused here
        _check_options(first_block + 1, discard_ratio, residual_weight, first_block)

    def token_relevance(self, recorded: RecordedAttention) -> Tensor:
        """Return the rollout from the classifier to the input tokens, float32 (B, N)."""
        _check_options(len(recorded.blocks), self.discard_ratio, self.residual_weight, self.first_block)
        blocks = reversed(recorded.blocks[self.first_block :])
        return _carried(blocks, recorded.start, self.discard_ratio, self.residual_weight)


def _check_options(num_blocks: int, discard_ratio: float, residual_weight: float, first_block: int) -> None:
    if not 0 <= discard_ratio < 1:
        raise ValueError(f"Expected `discard_ratio` in [0, 1) but got {discard_ratio}.")
    if not 0 <= residual_weight <= 1:
        raise ValueError(f"Expected `residual_weight` in [0, 1] but got {residual_weight}.")
    if not 0 <= first_block < num_blocks:
        raise ValueError(
            f"Expected `first_block` to be one of {num_blocks} blocks, counted from 0, but got {first_block}."
        )


def _check_shapes(attentions: Sequence[Tensor]) -> None:
    shapes = {(len(a), *a.shape[-2:]) for a in attentions if a.ndim in (3, 4)}
    if len(shapes) != 1 or any(a.ndim not in (3, 4) for a in attentions):
        found = [tuple(a.shape) for a in attentions]
        raise ValueError(f"Expected attentions of one shape, (B, H, N, N) or (B, N, N), but got {found}.")
    _, num_queries, num_keys = shapes.pop()
    if num_queries != num_keys:
        raise ValueError(f"Expected as many queries as keys but got {num_queries} and {num_keys}.")


def _fused(attention: Tensor, head_fusion: HeadFusion) -> BlockAttention:
    """Return attention (B, H, N, N), or (B, N, N) if it is already fused."""
    weights = attention.float()
    return WholeAttention(fuse(weights.unbind(1), head_fusion) if weights.ndim == 4 else weights)


def _carried(blocks: Iterable[BlockAttention], row: Tensor, discard_ratio: float, residual_weight: float) -> Tensor:
    """Multiply rows (B, N) by the normalised matrices of blocks, last block first."""
    for block in blocks:
        if block.rows_sum_to_one and not discard_ratio:
            # rows of the mixed matrix sum to 1 already, so there is nothing to normalise
            row = (1 - residual_weight) * block.weighted_sum(row) + residual_weight * row
        else:
            row = _step(row, block, discard_ratio, residual_weight)
    return row


def _step(row: Tensor, block: BlockAttention, discard_ratio: float, residual_weight: float) -> Tensor:
    """Multiply rows (B, N) by the normalised matrix of one block, without forming that matrix."""
    total = block.rest_of(row)
    for queries in block.chunks():
        weights = _discard(block.rows(queries), discard_ratio)  # (B, c, N)
        # dividing the row by the row sums of the matrix is the same as normalising the matrix
        row_sum = (1 - residual_weight) * weights.sum(-1) + residual_weight
        scaled = row[:, queries] / row_sum  # (B, c)
        total += (1 - residual_weight) * times(scaled, weights)
        total[:, queries] += residual_weight * scaled
    return total


def _discard(weights: Tensor, discard_ratio: float) -> Tensor:
    """Return attention (B, c, N) with the smallest weights of each row set to 0."""
    num_discarded = int(discard_ratio * weights.shape[-1])
    if num_discarded == 0:
        return weights
    smallest = weights.topk(num_discarded, dim=-1, largest=False).indices
    return weights.scatter(-1, smallest, 0)
