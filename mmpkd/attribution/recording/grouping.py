"""Recorded calls, grouped by block and checked: together they are the attentions of one forward pass over all tokens."""

from collections.abc import Callable, Sequence
from itertools import islice
from typing import TypeVar

import torch
from torch import Tensor, nn

from mmpkd.attribution.layout import TokenLayout, architecture
from mmpkd.attribution.recording.blocks import BlockAttention, JoinedAttention, WholeAttention
from mmpkd.attribution.recording.calls import attentions_per_block

T = TypeVar("T")


def by_block(model: nn.Module, layout: TokenLayout, calls: Sequence[T]) -> tuple[list[list[T]], T | None]:
    """Group the recorded attention calls by block.

    Args:
        model: The timm transformer.
        layout: Its token layout.
        calls: One item per attention call, in the order of the calls.

    Returns:
        The items of each block, and the item of the attention pooling, or None if there is none.

    Raises:
        RuntimeError: If the calls are not the attentions of exactly one forward pass.
    """
    counts = attentions_per_block(model)
    expected = sum(counts) + (layout.pooling == "attention")
    if len(calls) != expected:
        raise RuntimeError(
            f"Expected {expected} attention calls in one forward pass of {architecture(model)} but recorded {len(calls)}. "
            "Record one pass at a time. Differential attention, and attention that is not one of timm's modules, cannot be "
            "recorded."
        )
    remaining = iter(calls)
    blocks = [list(islice(remaining, count)) for count in counts]
    return blocks, next(remaining, None)


def of_all_tokens(
    parts: Sequence[BlockAttention],
    join: Callable[[Sequence[Tensor]], Tensor],
    layout: TokenLayout,
    model: nn.Module,
    rest: float = 1.0,
) -> BlockAttention:
    """Return the attention of one block, with all N tokens as keys.

    In CaiT, the first blocks compute attention among patches only, and the last ones from the class token to all tokens. The
    tokens that a block leaves out attend to themselves.

    Args:
        parts: The attentions of the block, several if it has parallel ones.
        join: Joins the weights (B, c, m) of several attentions.
        layout: Layout of the N tokens.
        model: The model, for the error message.
        rest: Weight with which tokens that are left out attend to themselves.

    Raises:
        RuntimeError: If the attention covers other tokens, as windowed attention does.
    """
    block = parts[0] if len(parts) == 1 else JoinedAttention(parts, join, rest)
    shape = block.shape[1:]
    if shape[1] == layout.num_tokens and shape[0] in (1, 2, layout.num_tokens):
        return block
    if shape != (layout.num_patches, layout.num_patches):
        raise RuntimeError(
            f"Expected attention over {layout.num_tokens} tokens ({layout.num_prefix_tokens} prefix tokens and "
            f"{layout.grid[0]} x {layout.grid[1]} patches) but got {shape} from {architecture(model)}. Windowed or reduced "
            "attention has no attention map."
        )
    whole = rest * torch.eye(layout.num_tokens, dtype=torch.float32, device=block.device).repeat(block.shape[0], 1, 1)
    whole[:, layout.num_prefix_tokens :, layout.num_prefix_tokens :] = block.rows()
    return WholeAttention(whole)
