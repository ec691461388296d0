"""The task loss: binary cross-entropy that ignores labels which are not stated."""

import torch
from torch import Tensor
from torch.nn import functional as F


def masked_bce(logits: Tensor, label: Tensor, weight: Tensor | None = None) -> Tensor:
    """Return the mean binary cross-entropy over the stated labels.

    Args:
        logits: (B, K).
        label: (B, K): 1, 0, or NaN for not stated.
        weight: Weight of each sample (B,), or None for 1. The mean is over stated labels, not over weights, so that a
            weight scales a sample's contribution.

    Returns:
        Float32 scalar; exactly 0, with zero gradients, if no label is stated.
    """
    with torch.autocast(logits.device.type, enabled=False):
        stated = ~label.isnan()
        losses = F.binary_cross_entropy_with_logits(logits.float(), label.nan_to_num(0.0).float(), reduction="none")
        losses = torch.where(stated, losses, 0.0)
        if weight is not None:
            losses = losses * weight[:, None]
        return losses.sum() / stated.sum().clamp(min=1)
