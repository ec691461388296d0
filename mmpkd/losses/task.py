"""The task loss: binary cross-entropy that ignores labels which are not stated."""

import torch
from torch import Tensor
from torch.nn import functional as F

from mmpkd.losses.reduction import masked_mean


def masked_bce(
    logits: Tensor,
    label: Tensor,
    weight: Tensor | None = None,
    smoothing: float = 0.0,
    pos_weight: Tensor | None = None,
) -> Tensor:
    """Return the mean binary cross-entropy over the stated labels.

    Args:
        logits: (B, K).
        label: (B, K): 1, 0, or NaN for not stated.
        weight: Weight of each sample (B,), or None for 1. The mean is over stated labels, not over weights, so that a
            weight scales a sample's contribution.
        smoothing: Share of each label that is replaced by 1/2 (Szegedy et al. 2016, https://arxiv.org/abs/1512.00567, sec. 7,
            for two classes).
        pos_weight: Weight of present labels (K,), or None for 1.

    Returns:
        Float32 scalar; exactly 0, with zero gradients, if no label is stated.
    """
    with torch.autocast(logits.device.type, enabled=False):
        stated = ~label.isnan()
        target = label.nan_to_num(0.0).float() * (1 - smoothing) + smoothing / 2
        losses = F.binary_cross_entropy_with_logits(logits.float(), target, reduction="none", pos_weight=pos_weight)
        losses = torch.where(stated, losses, 0.0)
        if weight is not None:
            losses = losses * weight[:, None]
        return masked_mean(losses.sum(), stated.sum().to(losses.dtype))
