"""The row of token weights that rollout and relevance multiply through the blocks, from the classifier back to the input."""

import torch
from torch import Tensor


def first_row(start: Tensor | None, like: Tensor) -> Tensor:
    """Return the start row, float32 (B, N).

    Args:
        start: Float (B, N) or (N,), weights of the output tokens; token 0, the class token, if None.
        like: Attention (B, ..., N, N), defines batch size, number of tokens and device.

    Raises:
        ValueError: If the shape of `start` does not fit.

    Example:
        >>> import torch
        >>> first_row(None, torch.zeros(1, 3, 3))
        tensor([[1., 0., 0.]])
    """
    shape = (len(like), like.shape[-1])
    if start is None:
        start = torch.zeros(shape, dtype=torch.float32, device=like.device)
        start[:, 0] = 1
    if tuple(start.shape) not in (shape, shape[1:]):
        raise ValueError(f"Expected `start` of shape {shape} or {shape[1:]} but got {tuple(start.shape)}.")
    return start.to(like.device, torch.float32).expand(shape)


def times(row: Tensor, matrix: Tensor) -> Tensor:
    """Multiply rows (B, N) by float32 matrices (B, N, M) and return (B, M).

    Example:
        >>> import torch
        >>> times(torch.tensor([[1.0, 2.0]]), torch.tensor([[[1.0, 0.0], [0.0, 3.0]]]))
        tensor([[1., 6.]])
    """
    # not a matrix product, which may be computed in TF32 or bfloat16
    return (row.unsqueeze(2) * matrix).sum(1)
