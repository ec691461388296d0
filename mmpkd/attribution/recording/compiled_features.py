"""Compilation of a timm model's features in a way that survives copying and pickling."""

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn


class CompiledFeatures:
    """Replacement for `model.forward_features`.

    `torch.compile(model.forward_features)` stays bound to that one model: a deep copy, as in weight averaging, would use the
    weights of the original, and the model could not be pickled. Here the function of the class is compiled, and the model is an
    argument, which is copied along.

    Args:
        model: A timm model.
        backend: Backend of `torch.compile`.
    """

    def __init__(self, model: nn.Module, backend: str = "inductor") -> None:
        self.model = model
        self.backend = backend

    def __call__(self, image: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Return the output of the model's own `forward_features`; the first call compiles it."""
        kind: Any = type(self.model)
        return _compiled(kind, self.backend)(self.model, image, *args, **kwargs)


# compiled once per class, not again for each instance
@cache
def _compiled(kind: Any, backend: str) -> Callable[..., Tensor]:
    compiled: Callable[..., Tensor] = torch.compile(kind.forward_features, backend=backend)
    return compiled
