"""Recording the attention of an unmodified timm transformer."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
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
        layers: One float32 tensor (B, N, N) per block, first block first; queries are rows, entries >= 0. In the last block,
            rows that the classifier does not read are not recorded; they are rows of the identity.
        start: Float32 (B, N), weight of each token after the last block in the classifier's input.
        layout: Layout of the N tokens.

    Example:
        >>> import torch
        >>> layout = TokenLayout(num_prefix_tokens=1, grid=(1, 2), pooling="class", pools_prefix=False)
        >>> recorded = RecordedAttention((torch.eye(3)[None],), torch.tensor([[1.0, 0.0, 0.0]]), layout)
        >>> recorded.layout.num_tokens
        3
    """

    layers: tuple[Tensor, ...]
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
        >>> recorder.result((32, 32)).layers[0].shape
        torch.Size([1, 5, 5])
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
        """Return the recorded attention after checking it.

        Args:
            size: Height and width of the images in the forward pass.

        Raises:
            RuntimeError: If the recorded calls are not the global attentions of exactly one forward pass.
        """
        layout = token_layout(self._model, size)
        blocks, pool = by_block(self._model, layout, self._calls)
        layers = tuple(square(fuse(block, self._head_fusion), layout, architecture(self._model)) for block in blocks)
        start = start_row(layout, None if pool is None else _shares(pool), layers[-1])
        return RecordedAttention(layers, start, layout)

    def _on_fused_call(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], result: Tensor) -> Tensor:
        call = attention_call(*args, **kwargs)
        if self._rows is not None:
            call = call.take(self._rows)
        # in the last block, only the rows of tokens that the classifier reads matter
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
        head_fusion: How to fuse heads: `mean`, `max` or `min`.

    Returns:
        The attention of every block.

    Example:
        >>> import timm
        >>> import torch
        >>> model = timm.create_model("vit_tiny_patch16_224", img_size=32, depth=2)
        >>> recorded = record_attention(model, torch.zeros(1, 3, 32, 32))
        >>> len(recorded.layers), recorded.layers[0].shape  # 2 x 2 patches and the class token
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


def square(weights: Tensor, layout: TokenLayout, name: str, rest: float = 1.0) -> Tensor:
    """Extend an attention to all tokens.

    In CaiT, the first blocks compute attention among patches only, and the last ones from the class token to all tokens. The
    tokens that a block leaves out attend to themselves.

    Args:
        weights: Float (B, n, m).
        layout: Layout of the N tokens.
        name: Name of the model, for the error message.
        rest: Weight with which tokens that are left out attend to themselves.

    Returns:
        Float (B, N, N).

    Raises:
        RuntimeError: If the attention covers other tokens, as windowed attention does.
    """
    prefix = layout.num_prefix_tokens
    num_tokens = layout.num_tokens
    shape = tuple(weights.shape[1:])
    if shape == (num_tokens, num_tokens):
        return weights
    is_prefix = shape[0] in (1, 2) and shape[1] == num_tokens
    if shape != (layout.num_patches, layout.num_patches) and not is_prefix:
        raise RuntimeError(
            f"Expected attention over {num_tokens} tokens ({prefix} prefix tokens and {layout.grid[0]} x {layout.grid[1]} "
            f"patches) but got {shape} from {name}. Windowed or reduced attention has no attention map."
        )
    whole = rest * torch.eye(num_tokens, dtype=weights.dtype, device=weights.device).repeat(len(weights), 1, 1)
    if is_prefix:
        whole[:, : shape[0]] = weights
    else:
        whole[:, prefix:, prefix:] = weights
    return whole
