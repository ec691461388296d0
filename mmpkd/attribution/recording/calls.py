"""Every attention that a model computes in a forward pass, shown as it happens, with fused attention on.

Fused attention never materialises its softmax, so hooks see nothing. A `TorchFunctionMode` sees every call of
`F.scaled_dot_product_attention` with its final arguments: after query-key normalisation and rotary embedding, with any
bias. Attention that is not fused (CaiT, or fused attention switched off) is taken where its dropout is applied.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from mmpkd.attribution.recording.compiled_features import CompiledFeatures

OnFused = Callable[[tuple[Any, ...], Mapping[str, Any], Tensor], Tensor]
OnMaterialised = Callable[[Tensor], Tensor]


@contextmanager
def attention_calls(model: nn.Module, on_fused: OnFused, on_materialised: OnMaterialised) -> Iterator[None]:
    """Show every attention of a model to a function, in order; afterwards the model is as before, also after an error.

    Args:
        model: A timm transformer. A compiled one runs eagerly meanwhile: compiled code runs neither hooks nor modes.
        on_fused: Gets the arguments, keyword arguments and result of a fused call, and returns the result to go on with.
        on_materialised: Gets the softmax (B, H, n, m) of an attention that is not fused, and returns the one to go on with.
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
        stack.enter_context(_FusedAttentionMode(on_fused))
        yield


@contextmanager
def eager(model: nn.Module) -> Iterator[None]:
    """Run a model eagerly if it was compiled, as a wrapper, in place, or its features only."""
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
    """Count the attentions of each block: usually 1, more in blocks of parallel attentions."""
    blocks = [*model.blocks, *(getattr(model, "blocks_token_only", None) or ())]  # type: ignore[misc]
    return [sum(hasattr(module, "attn_drop") for module in block.modules()) for block in blocks]


class _FusedAttentionMode(TorchFunctionMode):
    """Lets every fused attention call through, and shows it to a function."""

    def __init__(self, observe: OnFused) -> None:
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
        result = func(*args, **(kwargs or {}))
        return self._observe(args, kwargs or {}, result) if func is F.scaled_dot_product_attention else result
