"""Averaging the predictions of several teachers."""

import torch
from torch import Tensor
from torch.nn import functional as F


def ensemble_logits(members: Tensor, temperature: float) -> Tensor:
    """Return logits whose softened probabilities are the mean of the members' softened probabilities.

    With p the mean over members m of sigmoid(t_m / T), the result is T log(p / (1 - p)). It is computed from log-sigmoids and
    is therefore finite for all finite logits. A single member is returned unchanged.

    Args:
        members: Logits (M, B, K).
        temperature: T > 0.

    Returns:
        Logits (B, K).

    Example:
        >>> import torch
        >>> members = torch.tensor([[[0.0]], [[1.386294]]])  # probabilities 0.5 and 0.8
        >>> ensemble_logits(members, temperature=1.0).sigmoid()
        tensor([[0.6500]])
    """
    if len(members) == 1:
        return members[0]
    scaled = members / temperature  # (M, B, K)
    # the number of members cancels: log(sum p) - log(sum (1 - p))
    present = torch.logsumexp(F.logsigmoid(scaled), 0)
    absent = torch.logsumexp(F.logsigmoid(-scaled), 0)
    return temperature * (present - absent)
