"""Recording the attention of an unmodified timm transformer."""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn

from mmpkd.attribution.base import check_images, evaluating
from mmpkd.attribution.layout import (
    TokenLayout,
    check_supported,
    num_read_tokens,
    start_row,
    token_layout,
)
from mmpkd.attribution.recording.blocks import BlockAttention, WholeAttention
from mmpkd.attribution.recording.calls import attention_calls, attentions_per_block
from mmpkd.attribution.recording.grouping import by_block, of_all_tokens
from mmpkd.attribution.recording.log_sum_exp import LogSumExpOfFused
from mmpkd.attribution.recording.queries_keys import QueriesAndKeys
from mmpkd.attribution.recording.weights import (
    HeadFusion,
    attention_call,
    call_weights,
    check_head_fusion,
    fuse,
    positive_weights,
)


@dataclass(frozen=True)
class RecordedAttention:
    """Attention of one forward pass.

    Attributes:
        blocks: The attention of each block, first block first. Fused attention is kept as queries and keys, and its weights are
            computed when they are read. Attention with a mask or a bias, and attention that is not fused, is kept as weights
            (B, N, N). In the last block, only tokens that the classifier reads are queries.
        start: Float32 (B, N), weight of each token after the last block in the classifier's input.
        layout: Layout of the N tokens.

    Example:
        >>> import torch
        >>> layout = TokenLayout(num_prefix_tokens=1, grid=(1, 2), pooling="class", pools_prefix=False)
        >>> block = WholeAttention(torch.eye(3)[None])
        >>> recorded = RecordedAttention((block,), torch.tensor([[1.0, 0.0, 0.0]]), layout)
        >>> recorded.layout.num_tokens
        3
    """

    blocks: tuple[BlockAttention, ...]
    start: Tensor
    layout: TokenLayout


class AttentionRecorder:
    """Context manager that records the attention of one forward pass of a student.

    The output of the model is bit-identical with and without recording, and the model is not changed.

    Args:
        student: A student, or a timm vision transformer.
        head_fusion: How to fuse heads: `mean`, `max` or `min`.
        rows: Int64 (b,), positions in the batch of the samples to record; all if None.

    Raises:
        TypeError: If the model has no global attention, from every token to every token.

    Example:
        >>> import torch
        >>> import timm
        >>> model = timm.create_model("vit_tiny_patch16_224", img_size=32, depth=1)
        >>> with AttentionRecorder(model) as recorder:
        ...     logits = model(torch.zeros(1, 3, 32, 32))
        >>> recorder.result((32, 32)).blocks[0].shape  # the classifier reads the class token
        (1, 1, 5)
    """

    def __init__(self, student: nn.Module, head_fusion: HeadFusion = "mean", rows: Tensor | None = None) -> None:
        check_head_fusion(head_fusion)
        self._model = check_supported(student)
        self._head_fusion: HeadFusion = head_fusion
        self._rows = rows
        counts = attentions_per_block(self._model)
        self._first_of_last_block = sum(counts[:-1])
        self._num_read = num_read_tokens(self._model)
        self._calls: list[BlockAttention] = []
        self._log_sum_exp = LogSumExpOfFused()
        self._stack = ExitStack()

    def __enter__(self) -> "AttentionRecorder":
        self._calls.clear()
        calls = attention_calls(self._model, self._on_fused_call, self._on_materialised, lambda: self._log_sum_exp)
        self._stack.enter_context(calls)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def result(self, size: tuple[int, int]) -> RecordedAttention:
        """Return the recorded attention after checking it.

        Args:
            size: Height and width of the images in the forward pass.

        Raises:
            RuntimeError: If the recorded calls are not the global attentions of exactly one forward pass.
        """
        layout = token_layout(self._model, size)
        blocks, pool = by_block(self._model, layout, self._calls)
        join = partial(fuse, head_fusion=self._head_fusion)
        of_tokens = tuple(of_all_tokens(block, join, layout, self._model) for block in blocks)
        last = of_tokens[-1]
        start = start_row(layout, None if pool is None else _shares(pool.rows()), last.shape[0], last.device)
        return RecordedAttention(of_tokens, start, layout)

    def _on_fused_call(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], result: Tensor) -> Tensor:
        call = attention_call(*args, **kwargs)
        log_sum_exp = self._log_sum_exp.take()
        if self._rows is not None:
            call = call.take(self._rows)
            log_sum_exp = None if log_sum_exp is None else log_sum_exp[self._rows]
        # in the last block, only the rows of tokens that the classifier reads matter
        if len(self._calls) >= self._first_of_last_block and self._num_read is not None:
            read = slice(self._num_read)
            call = call.queries(read)
            log_sum_exp = None if log_sum_exp is None else log_sum_exp[:, :, read]
        # a bias for every pair of tokens is as large as the weights, so that keeping queries and keys would save nothing
        self._calls.append(
            QueriesAndKeys(call, self._head_fusion, log_sum_exp)
            if call.mask is None
            else WholeAttention(call_weights(call, self._head_fusion))
        )
        return result

    def _on_materialised(self, weights: Tensor) -> Tensor:
        heads = positive_weights(weights if self._rows is None else weights[self._rows])
        self._calls.append(WholeAttention(fuse(heads.unbind(1), self._head_fusion)))
        return weights


def record_attention(student: nn.Module, image: Tensor, head_fusion: HeadFusion = "mean") -> RecordedAttention:
    """Run a student on images, in eval mode and without gradients, and record its attention.

    Args:
        student: A student, or a timm vision transformer.
        image: Float (B, C, H, W), normalised.
        head_fusion: How to fuse heads: `mean`, `max` or `min`.

    Returns:
        The attention of every block.

    Example:
        >>> import timm
        >>> import torch
        >>> model = timm.create_model("vit_tiny_patch16_224", img_size=32, depth=2)
        >>> recorded = record_attention(model, torch.zeros(1, 3, 32, 32))
        >>> len(recorded.blocks), recorded.blocks[0].rows().shape  # 2 x 2 patches and the class token
        (2, torch.Size([1, 5, 5]))
    """
    check_images(image)
    with evaluating(student), torch.no_grad(), AttentionRecorder(student, head_fusion) as recorder:
        student(image)
    return recorder.result((int(image.shape[-2]), int(image.shape[-1])))


def _shares(pool: Tensor) -> Tensor:
    """Return the attention (B, n, m) of a pooling layer as weights (B, m) that sum to 1."""
    # the maximum or minimum over heads does not sum to 1
    row = pool.sum(1)
    return row / row.sum(1, keepdim=True).clamp_min(torch.finfo(torch.float32).tiny)
