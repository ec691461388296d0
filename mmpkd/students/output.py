"""What teacher and student return."""

from typing import NamedTuple

from torch import Tensor


class ModelOutput(NamedTuple):
    """Output of a teacher or a student for B samples.

    Attributes:
        logits: (B, K), before the sigmoid.
        features: (B, D), the vector that the classification head reads.
    """

    logits: Tensor
    features: Tensor
