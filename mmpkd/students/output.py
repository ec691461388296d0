"""The output of teachers and students."""

from typing import NamedTuple

from torch import Tensor


class ModelOutput(NamedTuple):
    """Output of a teacher or a student for B samples.

    Attributes:
        logits: Float (B, K), before the sigmoid.
        features: Float (B, D), the input of the classification head.

    Example:
        >>> import torch
        >>> ModelOutput(logits=torch.zeros(2, 3), features=torch.zeros(2, 8)).logits.shape
        torch.Size([2, 3])
    """

    logits: Tensor
    features: Tensor
