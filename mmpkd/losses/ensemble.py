"""Several teachers as one."""

import torch
from torch import Tensor
from torch.nn import functional as F


def ensemble_logits(members: Tensor, temperature: float) -> Tensor:
    """Return the logits whose probabilities, at the temperature, are the mean of those of the members.

    With p = mean over m of sigmoid(t_m / T), the result is T log(p / (1 - p)), computed from log-sigmoids, so that it is
    finite for any finite logits. For one member it is the member.

    Args:
        members: Logits (M, B, K).
        temperature: T > 0.

    Returns:
        Logits (B, K).
    """
    if len(members) == 1:
        return members[0]
    scaled = members / temperature
    return temperature * (torch.logsumexp(F.logsigmoid(scaled), 0) - torch.logsumexp(F.logsigmoid(-scaled), 0))
