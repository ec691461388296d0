"""Layers, buffers and products that stay in float32 when a model is trained or run in less."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
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


@contextmanager
def exact_products(device_type: str) -> Iterator[None]:
    """Compute matrix products of float32 in float32, under autocast and whatever precision PyTorch is set to.

    Args:
        device_type: Device of the matrices, for autocast.
    """
    setting = _setting()
    before = [device.fp32_precision for device in _devices()]
    try:
        # by the setting that is in use: PyTorch refuses to compute or to answer where the other one contradicts it
        if setting is not None:
            torch.set_float32_matmul_precision("highest")
        else:
            _set_devices(["ieee"] * len(before))
        with torch.autocast(device_type, enabled=False):
            yield
    finally:
        if setting is not None:
            torch.set_float32_matmul_precision(setting)
        _set_devices(before)


def are_products_exact() -> bool:
    """Return whether PyTorch is set to compute matrix products of float32 in float32 on every device."""
    setting = _setting()
    if setting is not None:
        return setting == "highest"
    return not {device.fp32_precision for device in _devices()} & {"tf32", "bf16"}


def _setting() -> str | None:
    """Return the precision of all devices; None if it was set by device, which releases of PyTorch before 2.9 cannot do."""
    try:
        return torch.get_float32_matmul_precision()
    except RuntimeError:
        return None


def _devices() -> list[Any]:
    """Return the kinds of devices with a precision of their own."""
    devices = torch.backends.cuda.matmul, getattr(torch.backends.mkldnn, "matmul", None)
    return [device for device in devices if hasattr(device, "fp32_precision")]


def _set_devices(precisions: Sequence[str]) -> None:
    for device, precision in zip(_devices(), precisions, strict=True):
        device.fp32_precision = precision


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
