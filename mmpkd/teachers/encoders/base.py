"""Base class of encoders of privileged input."""

import importlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Self

from torch import Tensor, nn

from data_modules.batch import Privileged
from data_modules.split import Split


class PrivilegedEncoder(nn.Module, ABC):
    """Maps privileged input to features.

    An encoder is created in two steps, so that a checkpoint can be loaded without its training data. `learn` takes vocabulary
    and statistics from the training split and returns them as primitives; `build` creates the layers from them. Subclasses store
    every constructor argument in `settings`, as primitives.

    Attributes:
        settings: Constructor arguments.
        inputs: Result of `learn`; None before `build` is called.
    """

    settings: dict[str, Any]
    inputs: dict[str, Any] | None = None

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> Self:
        """Return an encoder with the given settings."""
        return cls(**settings)

    def depth_of(self, name: str) -> int:
        """Return the depth of a parameter for layer-wise learning rate decay; 0 is at the input."""
        del name
        return 0

    @property
    @abstractmethod
    def num_features(self) -> int:
        """Width D of the features."""

    @abstractmethod
    def learn(self, train: Split) -> dict[str, Any]:
        """Return vocabulary and statistics of the training split, as primitives.

        Raises:
            ValueError: If the split lacks the input that this encoder reads.
        """

    @abstractmethod
    def build(self, inputs: dict[str, Any]) -> None:
        """Create the layers from the result of `learn`, with random weights."""

    def check(self, split: Split) -> None:
        """Check that a split has the input that the built encoder reads. Does nothing by default.

        Raises:
            ValueError: If the split lacks it.
        """
        del split

    @property
    def reads(self) -> tuple[str, ...]:
        """Input of the built encoder: `text`, and names of columns."""
        return ()

    def load_pretrained(self) -> None:
        """Load pretrained weights into the built layers, if the settings name any."""
        return

    @abstractmethod
    def forward(self, privileged: Privileged) -> Tensor:
        """Encode B samples.

        Returns:
            Features (B, D).
        """


def describe(encoder: PrivilegedEncoder) -> dict[str, Any]:
    """Return the class and the settings of an encoder, as primitives."""
    kind = type(encoder)
    return {"encoder": f"{kind.__module__}.{kind.__qualname__}", "settings": encoder.settings}


def encoder_from(description: Mapping[str, Any]) -> PrivilegedEncoder:
    """Return the encoder for a result of `describe`, without layers.

    Raises:
        TypeError: If the class is not an encoder.
    """
    module, _, name = description["encoder"].rpartition(".")
    kind = getattr(importlib.import_module(module), name)
    if not (isinstance(kind, type) and issubclass(kind, PrivilegedEncoder)):
        raise TypeError(f"Expected a PrivilegedEncoder but '{description['encoder']}' is a {kind!r}.")
    return kind.from_settings(description["settings"])


def check_sizes(width: int, dropout: float, depth: int = 1, num_heads: int = 1) -> None:
    """Check the sizes of a network that is trained from scratch.

    Args:
        width: Width of the layers.
        dropout: Dropout.
        depth: Number of layers.
        num_heads: Number of attention heads.

    Raises:
        ValueError: If a size is below 1, the width is not a multiple of the number of heads, or the dropout is not in [0, 1).
    """
    if min(width, depth, num_heads) < 1 or width % num_heads:
        raise ValueError(
            "Expected an encoder whose width, depth and num_heads are at least 1 and whose width is a multiple of num_heads but "
            f"got {width}, {depth} and {num_heads}."
        )
    if not 0 <= dropout < 1:
        raise ValueError(f"Expected an encoder with a dropout in [0, 1) but got {dropout}.")
