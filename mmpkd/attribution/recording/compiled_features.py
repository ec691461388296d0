"""The features of a timm model through `torch.compile`, in a form that can be copied and pickled."""

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn


class CompiledFeatures:
    """Stands in for `model.forward_features` on the model itself.

    `torch.compile(model.forward_features)` would be bound to that model for good: a deep copy of the model, as an average of its
    weights makes, would run the original's weights, and the model could not be pickled. Here the function of the class is
    compiled, and the model is an argument that is copied with its owner.

    Args:
        model: A timm model.
        backend: What `torch.compile` compiles with.
    """

    def __init__(self, model: nn.Module, backend: str = "inductor") -> None:
        self.model, self.backend = model, backend

    def __call__(self, image: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Return what the model's own `forward_features` returns; the first call compiles it."""
        kind: Any = type(self.model)
        return _compiled(kind, self.backend)(self.model, image, *args, **kwargs)


@cache
def _compiled(kind: Any, backend: str) -> Callable[..., Tensor]:
    compiled: Callable[..., Tensor] = torch.compile(kind.forward_features, backend=backend)
    return compiled
