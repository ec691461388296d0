"""What stays in float32 when a model is trained in half precision."""

from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Float32Buffers:
    """What a module inherits from whose own buffers keep their type when it is converted; they move to devices as usual.

    Thresholds, statistics and class weights are measured, not learned: bfloat16 would keep three digits of them.
    """

    _buffers: dict[str, Tensor | None]

    def _apply(self, fn: Any, *args: Any, **kwargs: Any) -> Self:
        before = {name: value for name, value in self._buffers.items() if value is not None}
        super()._apply(fn, *args, **kwargs)  # type: ignore[misc]  # of nn.Module, or of torchmetrics' Metric
        for name, value in before.items():
            moved = self._buffers[name]
            if moved is not None and moved.dtype != value.dtype:
                self._buffers[name] = value.to(moved.device)
        return self


class Float32Linear(nn.Linear):
    """A linear layer that computes in float32, also under autocast and with weights in half precision."""

    def forward(self, input: Tensor) -> Tensor:
        """Return float32 (..., out_features)."""
        return linear_in_float32(self, input)


def linear_in_float32(layer: nn.Linear, input: Tensor) -> Tensor:
    """Return what a linear layer gives in float32, also under autocast and with weights in half precision.

    In bfloat16, logits would have three digits: many samples would tie, and AUROC counts ties as half.
    """
    with torch.autocast(input.device.type, enabled=False):
        bias = None if layer.bias is None else layer.bias.float()
        return F.linear(input.float(), layer.weight.float(), bias)
