"""The task loss: binary cross-entropy over the known labels."""

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
    """Return the mean binary cross-entropy over the known labels.

    Args:
        logits: Float (B, K).
        label: Float (B, K): 1, 0, or NaN if unknown.
        weight: Float (B,), weight of each sample, or None for 1. The sum is divided by the number of known labels, not by the
            sum of weights, so a smaller weight reduces the loss.
        smoothing: Label smoothing s in [0, 1): targets become s/2 and 1 - s/2 (Szegedy et al. 2016, section 7,
            https://arxiv.org/abs/1512.00567, for two classes).
        pos_weight: Float (K,), weight of positive labels, or None for 1.

    Returns:
        Float32 scalar; exactly 0, with zero gradients, if every label is unknown.

    Example:
        >>> import torch
        >>> logits = torch.tensor([[0.0, 3.0]])
        >>> label = torch.tensor([[1.0, torch.nan]])
        >>> masked_bce(logits, label)  # log 2; the second label is unknown
        tensor(0.6931)
    """
    with torch.autocast(logits.device.type, enabled=False):
        is_known = ~label.isnan()  # (B, K)
        target = label.nan_to_num(0.0).float() * (1 - smoothing) + smoothing / 2
        losses = F.binary_cross_entropy_with_logits(logits.float(), target, reduction="none", pos_weight=pos_weight)
        # `where`, not a product, so that an infinite logit of an unknown label gives neither NaN nor a gradient
        losses = torch.where(is_known, losses, 0.0)
        if weight is not None:
            losses = losses * weight[:, None]
        return masked_mean(losses.sum(), is_known.sum().to(losses.dtype))
