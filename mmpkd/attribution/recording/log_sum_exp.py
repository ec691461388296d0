"""The log-sum-exp that fused attention computes on the way, and drops."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from mmpkd.numerics.precision import are_products_exact

_FUSED = torch.ops.aten.scaled_dot_product_attention.default
_FUSED_ON_CPU = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu.default


class LogSumExpOfFused(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Keeps the log-sum-exp of the last fused attention call on a CPU in float32; the call itself runs as without.

    Other devices and kernels compute it in lower precision, or not at all, as does a CPU if PyTorch is set to lower precision.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._last: Tensor | None = None

    def take(self) -> Tensor | None:
        """Return the log-sum-exp (B, H, n) of the last call and forget it; None if its kernel did not tell."""
        last, self._last = self._last, None
        return last

    def __torch_dispatch__(
        self,
        func: Any,
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        del types
        options = kwargs or {}
        # in inference mode, the call arrives before it is resolved to a kernel
        if func is _FUSED:
            with self:
                return func.decompose(*args, **options)
        result = func(*args, **options)
        if func is _FUSED_ON_CPU and args[0].dtype == torch.float32 and are_products_exact():
            self._last = result[1].detach()
        return result
