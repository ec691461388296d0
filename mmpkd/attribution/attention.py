"""Recording of the attention of an unmodified timm transformer, with fused attention on.

Fused attention never materialises its softmax, so hooks see nothing. A `TorchFunctionMode` sees every call of
`F.scaled_dot_product_attention` with its final arguments: after query-key normalisation and rotary embedding, with any
bias. Attention that is not fused (CaiT, or fused attention switched off) is taken where its dropout is applied.
"""

from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from mmpkd.attribution.base import evaluating
from mmpkd.attribution.layout import TokenLayout, architecture, check_supported, start_row, token_layout
from mmpkd.attribution.weights import HeadFusion, check_head_fusion, fuse, fused_call_weights, materialised_weights


@dataclass(frozen=True)
class RecordedAttention:
    """Attention of one forward pass.

    Attributes:
        layers: One float32 (B, N, N) per block, first block first; queries are rows, entries >= 0.
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
        self._calls: list[Tensor] = []
        self._stack = ExitStack()

    def __enter__(self) -> "AttentionRecorder":
        self._calls.clear()
        with ExitStack() as stack:  # undoes what was entered if a later step fails
            if _is_compiled(self._model):
                stack.enter_context(
                    torch.compiler.set_stance("force_eager")
                )  # compiled code runs neither hooks nor modes
            for module in self._model.modules():
                dropout = getattr(module, "attn_drop", None)
                if isinstance(dropout, nn.Module):
                    stack.callback(dropout.register_forward_pre_hook(self._on_dropout).remove)
            stack.enter_context(_FusedAttentionMode(self._on_fused_call))
            self._stack = stack.pop_all()
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
        counts = _attentions_per_block(self._model)
        expected = sum(counts) + (layout.pooling == "attention")
        if len(self._calls) != expected:
            raise RuntimeError(
                f"Expected {expected} attention calls in {architecture(self._model)}, from one forward pass, but "
                f"recorded {len(self._calls)}. Record one pass at a time; differential attention, and attention that "
                "is not one of timm's modules, cannot be recorded."
            )
        calls = iter(self._calls)
        blocks = [fuse([next(calls) for _ in range(count)], self._head_fusion) for count in counts]
        layers = tuple(_square(block, layout, architecture(self._model)) for block in blocks)
        pool = next(calls, None)
        return RecordedAttention(layers, start_row(layout, None if pool is None else pool.mean(1), layers[-1]), layout)

    def _on_fused_call(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        self._calls.append(fused_call_weights(*args, **kwargs, head_fusion=self._head_fusion, rows=self._rows))

    def _on_dropout(self, module: nn.Module, args: tuple[Tensor, ...]) -> None:
        del module
        self._calls.append(materialised_weights(args[0], self._head_fusion, self._rows))


def record_attention(student: nn.Module, image: Tensor, head_fusion: HeadFusion = "mean") -> RecordedAttention:
    """Run a student on images, in eval mode and without gradients, and record its attention.

    Args:
        student: A student, or a timm vision transformer.
        image: Float (B, C, H, W), normalised.
        head_fusion: How to fuse heads.

    Returns:
        The attention of every block.
    """
    with evaluating(student), torch.no_grad(), AttentionRecorder(student, head_fusion) as recorder:
        student(image)
    return recorder.result((int(image.shape[-2]), int(image.shape[-1])))


class _FusedAttentionMode(TorchFunctionMode):
    """Shows the arguments of every fused attention call to a function, and lets the call through."""

    def __init__(self, observe: Callable[[tuple[Any, ...], Mapping[str, Any]], None]) -> None:
        super().__init__()
        self._observe = observe

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        del types
        if func is F.scaled_dot_product_attention:
            self._observe(args, kwargs or {})
        return func(*args, **(kwargs or {}))


def _is_compiled(model: nn.Module) -> bool:
    return hasattr(model, "_orig_mod") or any(m._compiled_call_impl is not None for m in model.modules())


def _attentions_per_block(model: nn.Module) -> list[int]:
    """Count the attentions of each block: usually 1, more in blocks of parallel attentions."""
    blocks = [*model.blocks, *(getattr(model, "blocks_token_only", None) or ())]  # type: ignore[misc]
    return [sum(hasattr(module, "attn_drop") for module in block.modules()) for block in blocks]


def _square(weights: Tensor, layout: TokenLayout, name: str) -> Tensor:
    """Return an attention as (B, N, N); tokens that it leaves untouched attend to themselves (CaiT's two stages)."""
    prefix, patches, tokens = layout.num_prefix_tokens, layout.num_patches, layout.num_tokens
    shape = tuple(weights.shape[1:])
    if shape == (tokens, tokens):
        return weights
    if shape not in ((patches, patches), (1, tokens)):
        raise RuntimeError(
            f"Expected attention over {tokens} tokens ({prefix} prefix tokens and {layout.grid[0]} x {layout.grid[1]} "
            f"patches) but {name} attends over {shape}. Windowed or reduced attention has no attention map."
        )
    square = torch.eye(tokens, dtype=weights.dtype, device=weights.device).repeat(len(weights), 1, 1)
    if shape == (1, tokens):
        square[:, 0] = weights[:, 0]
    else:
        square[:, prefix:, prefix:] = weights
    return square
