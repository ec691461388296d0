"""Observation of every attention in a forward pass, also if attention is fused.

Fused attention never materialises its softmax, so hooks cannot see it. A `TorchFunctionMode` sees every call of
`F.scaled_dot_product_attention` with its final arguments, after query-key normalisation and rotary embedding and with any
bias. If attention is not fused (CaiT, or fused attention switched off), the softmax is read before its dropout.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from mmpkd.attribution.recording.compiled_features import CompiledFeatures

OnFused = Callable[[tuple[Any, ...], Mapping[str, Any], Tensor], Tensor]
OnMaterialised = Callable[[Tensor], Tensor]


@contextmanager
def attention_calls(
    model: nn.Module,
    on_fused: OnFused,
    on_materialised: OnMaterialised,
    around_fused: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> Iterator[None]:
    """Call a function for every attention of a model, in the order in which they run.

    All hooks are removed on exit, also after an error.

    Args:
        model: A timm transformer. A compiled one runs eagerly in this context, because compiled code skips hooks and modes.
        on_fused: Receives the arguments, keyword arguments and result of a fused call, and returns the result to use instead.
        on_materialised: Receives the softmax (B, H, n, m) of an attention that is not fused, and returns the softmax to use
            instead.
        around_fused: Returns a context in which a fused call runs.
    """

    def before_dropout(module: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        del module
        return (on_materialised(args[0]), *args[1:])

    with ExitStack() as stack:
        stack.enter_context(eager(model))
        for module in model.modules():
            dropout = getattr(module, "attn_drop", None)
            if isinstance(dropout, nn.Module):
                stack.callback(dropout.register_forward_pre_hook(before_dropout).remove)
        stack.enter_context(_FusedAttentionMode(on_fused, around_fused))
        yield


@contextmanager
def eager(model: nn.Module) -> Iterator[None]:
    """Run a compiled model eagerly, whether it was wrapped, compiled in place, or only its features were compiled."""
    features = getattr(model, "forward_features", None)
    is_compiled = (
        hasattr(model, "_orig_mod")
        or isinstance(features, CompiledFeatures)
        or hasattr(features, "_torchdynamo_orig_callable")
        or any(m._compiled_call_impl is not None for m in model.modules())
    )
    with torch.compiler.set_stance("force_eager") if is_compiled else nullcontext():
        yield


def attentions_per_block(model: nn.Module) -> list[int]:
    """Return the number of attentions in each block: usually 1, more in blocks with parallel attentions."""
    # CaiT keeps the blocks of its second stage in a separate list
    blocks = [*model.blocks, *(getattr(model, "blocks_token_only", None) or ())]  # type: ignore[misc]
    return [_num_attentions(block) for block in blocks]


def _num_attentions(block: nn.Module) -> int:
    return sum(hasattr(module, "attn_drop") for module in block.modules())


class _FusedAttentionMode(TorchFunctionMode):
    """Runs every function unchanged, and passes fused attention calls to an observer."""

    def __init__(self, observe: OnFused, around: Callable[[], AbstractContextManager[object]]) -> None:
        super().__init__()
        self._observe = observe
        self._around = around

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        del types
        if func is not F.scaled_dot_product_attention:
            return func(*args, **(kwargs or {}))
        with self._around():
            result = func(*args, **(kwargs or {}))
        return self._observe(args, kwargs or {}, result)
