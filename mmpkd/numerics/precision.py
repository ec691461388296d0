"""Layers and buffers that stay in float32 when a model is trained in half precision."""

from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Float32Buffers:
    """Base class of modules whose own buffers keep their data type when the module is converted to half precision.

    They still move between devices. Thresholds, statistics and class weights are measured, not learned, and bfloat16 would
    round them to three digits.
    """

    _buffers: dict[str, Tensor | None]

    def _apply(self, fn: Any, *args: Any, **kwargs: Any) -> Self:
        before = {name: value for name, value in self._buffers.items() if value is not None}
        super()._apply(fn, *args, **kwargs)  # type: ignore[misc]  # of nn.Module, or of torchmetrics' Metric
        # `_apply` converts and moves in one step, so the old value of a converted buffer is moved to the new device
        for name, value in before.items():
            moved = self._buffers[name]
            if moved is not None and moved.dtype != value.dtype:
                self._buffers[name] = value.to(moved.device)
        return self


class Float32Linear(nn.Linear):
    """A linear layer that computes in float32, even under autocast or with weights in half precision."""

    def forward(self, input: Tensor) -> Tensor:
        """Return float32 (..., out_features)."""
        return linear_in_float32(self, input)


def linear_in_float32(layer: nn.Linear, input: Tensor) -> Tensor:
    """Apply a linear layer in float32, even under autocast or with weights in half precision.

    In bfloat16, logits would have three digits, and many samples would tie, which AUROC counts as half.

    Args:
        layer: The layer.
        input: Float (..., in_features).

    Returns:
        Float32 (..., out_features).
    """
    with torch.autocast(input.device.type, enabled=False):
        bias = None if layer.bias is None else layer.bias.float()
        return F.linear(input.float(), layer.weight.float(), bias)
