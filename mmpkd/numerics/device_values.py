"""Numbers of the host as tensors on a device."""

from collections.abc import Sequence

import torch
from torch import Tensor


def tensor_on(device: torch.device, values: Sequence[object], dtype: torch.dtype | None = None) -> Tensor:
    """Return numbers as a tensor on a device, without waiting for the work that is queued there.

    `torch.tensor(values, device=device)` waits for all of it.

    Args:
        device: The device.
        values: Numbers, or lists of them of the same length.
        dtype: Data type; that of the numbers if None.

    Example:
        >>> tensor_on(torch.device("cpu"), [[1, 2], [3, 4]])
        tensor([[1, 2],
                [3, 4]])
    """
    tensor = torch.tensor(values, dtype=dtype)
    if device.type == "cuda":
        tensor = tensor.pin_memory()
    # a copy to Apple's devices that does not wait may read memory that has another content by then
    return tensor.to(device, non_blocking=device.type != "mps")
