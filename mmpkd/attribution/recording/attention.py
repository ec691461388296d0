"""Recording of the attention of an unmodified timm transformer in a forward pass."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from mmpkd.attribution.base import check_images, evaluating
from mmpkd.attribution.layout import (
    TokenLayout,
    architecture,
    check_supported,
    num_read_tokens,
    start_row,
    token_layout,
)
from mmpkd.attribution.recording.calls import attention_calls, attentions_per_block
from mmpkd.attribution.recording.weights import (
    HeadFusion,
    attention_call,
    call_weights,
    check_head_fusion,
    fuse,
    positive_weights,
)

T = TypeVar("T")


@dataclass(frozen=True)
class RecordedAttention:
    """Attention of one forward pass.

    Attributes:
        layers: One float32 (B, N, N) per block, first block first; queries are rows, entries >= 0. Rows of the last block that
            the head does not read are not recorded, and those of the identity.
        start: Float32 (B, N), how much of each token the head reads after the last block.
        layout: Where the patches are among the N tokens.
    """

    layers: tuple[Tensor, ...]
    start: Tensor
    layout: TokenLayout


class AttentionRecorder:
    """Context manager that records one forward pass of a student, whoever runs it.

    The output of the model is bit-equal with and without recording, and nothing of the model is changed.

    Args:
        student: A student, or a timm vision transformer.
        head_fusion: How to fuse heads: `mean`, `max` or `min`.
        rows: Int64 (b,), samples of the batch to record; all if None.

    Raises:
        TypeError: If the model does not attend from every token to every token.
    """

    def __init__(self, student: nn.Module, head_fusion: HeadFusion = "mean", rows: Tensor | None = None) -> None:
        check_head_fusion(head_fusion)
        self._model = check_supported(student)
        self._head_fusion: HeadFusion = head_fusion
        self._rows = rows
        counts = attentions_per_block(self._model)
        self._first_of_last_block = sum(counts[:-1])
        self._num_read = num_read_tokens(self._model)
        self._calls: list[Tensor] = []
        self._stack = ExitStack()

    def __enter__(self) -> "AttentionRecorder":
        self._calls.clear()
        self._stack.enter_context(attention_calls(self._model, self._on_fused_call, self._on_materialised))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def result(self, size: tuple[int, int]) -> RecordedAttention:
        """Return the recorded attention, checked.

        Args:
            size: Height and width of the images that the model was given.

        Raises:
            RuntimeError: If what was recorded is not exactly one global attention per block.
        """
        layout = token_layout(self._model, size)
        blocks, pool = by_block(self._model, layout, self._calls)
        layers = tuple(square(fuse(block, self._head_fusion), layout, architecture(self._model)) for block in blocks)
        return RecordedAttention(layers, start_row(layout, None if pool is None else _shares(pool), layers[-1]), layout)

    def _on_fused_call(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], result: Tensor) -> Tensor:
        call = attention_call(*args, **kwargs)
        if self._rows is not None:
            call = call.take(self._rows)
        if len(self._calls) >= self._first_of_last_block and self._num_read is not None:
            call = call.first_queries(self._num_read)
        self._calls.append(call_weights(call, self._head_fusion))
        return result

    def _on_materialised(self, weights: Tensor) -> Tensor:
        heads = positive_weights(weights if self._rows is None else weights[self._rows])
        self._calls.append(fuse(heads.unbind(1), self._head_fusion))
        return weights


def record_attention(student: nn.Module, image: Tensor, head_fusion: HeadFusion = "mean") -> RecordedAttention:
    """Run a student on images, in eval mode and without gradients, and record its attention.

    Args:
        student: A student, or a timm vision transformer.
        image: Float (B, C, H, W), normalised.
        head_fusion: How to fuse heads.

    Returns:
        The attention of every block.
    """
    check_images(image)
    with evaluating(student), torch.no_grad(), AttentionRecorder(student, head_fusion) as recorder:
        student(image)
    return recorder.result((int(image.shape[-2]), int(image.shape[-1])))


def _shares(pool: Tensor) -> Tensor:
    """Return a pooling attention (B, n, m) as shares (B, m): the largest, or the smallest, of several heads do not sum to 1."""
    row = pool.sum(1)
    return row / row.sum(1, keepdim=True).clamp_min(torch.finfo(torch.float32).tiny)


def by_block(model: nn.Module, layout: TokenLayout, calls: Sequence[T]) -> tuple[list[list[T]], T | None]:
    """Return what was recorded of every attention call, by block, and of the pooling attention if there is one.

    Raises:
        RuntimeError: If the calls are not exactly the attentions of one forward pass.
    """
    counts = attentions_per_block(model)
    expected = sum(counts) + (layout.pooling == "attention")
    if len(calls) != expected:
        raise RuntimeError(
            f"Expected {expected} attention calls in {architecture(model)}, from one forward pass, but recorded {len(calls)}. "
            "Record one pass at a time; differential attention, and attention that is not one of timm's modules, cannot be "
            "recorded."
        )
    remaining = iter(calls)
    return [[next(remaining) for _ in range(count)] for count in counts], next(remaining, None)


def square(weights: Tensor, layout: TokenLayout, name: str, rest: float = 1.0) -> Tensor:
    """Return an attention as (B, N, N); tokens that it leaves untouched (CaiT's two stages) attend to themselves with `rest`."""
    prefix, patches, tokens = layout.num_prefix_tokens, layout.num_patches, layout.num_tokens
    shape = tuple(weights.shape[1:])
    if shape == (tokens, tokens):
        return weights
    is_prefix = shape[0] in (1, 2) and shape[1] == tokens
    if shape != (patches, patches) and not is_prefix:
        raise RuntimeError(
            f"Expected attention over {tokens} tokens ({prefix} prefix tokens and {layout.grid[0]} x {layout.grid[1]} "
            f"patches) but {name} attends over {shape}. Windowed or reduced attention has no attention map."
        )
    whole = rest * torch.eye(tokens, dtype=weights.dtype, device=weights.device).repeat(len(weights), 1, 1)
    if is_prefix:
        whole[:, : shape[0]] = weights
    else:
        whole[:, prefix:, prefix:] = weights
    return whole
