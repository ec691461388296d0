"""What an encoder of privileged input is."""

import importlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Self

from torch import Tensor, nn

from data_modules.batch import Privileged
from data_modules.split import Split


class PrivilegedEncoder(nn.Module, ABC):
    """Maps privileged input to features.

    An encoder is made in two steps, so that a checkpoint can be loaded without the data it was trained on. `learn`
    takes vocabulary and statistics from the training split, as primitives; `build` makes the layers from them.
    Subclasses keep every constructor argument in `settings`, as primitives.

    Attributes:
        settings: Constructor arguments.
        inputs: What `learn` returned; None until `build` was called.
    """

    settings: dict[str, Any]
    inputs: dict[str, Any] | None = None

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> Self:
        """Return an encoder with the given settings."""
        return cls(**settings)

    def depth_of(self, name: str) -> int:
        """Return how deep a parameter lies, for learning rates that shrink towards the input; 0 is at the input."""
        del name
        return 0

    @property
    @abstractmethod
    def num_features(self) -> int:
        """Width D of the features."""

    @abstractmethod
    def learn(self, train: Split) -> dict[str, Any]:
        """Take vocabulary and statistics from the training split.

        Raises:
            ValueError: If the split has no input of the kind that this encoder reads.
        """

    @abstractmethod
    def build(self, inputs: dict[str, Any]) -> None:
        """Create the layers for what `learn` returned; weights are random afterwards."""

    def check(self, split: Split) -> None:
        """Check that a split has the input that the built encoder reads; nothing by default.

        Raises:
            ValueError: If it has not.
        """
        del split

    @property
    def reads(self) -> tuple[str, ...]:
        """What the built encoder reads: `text`, and names of columns."""
        return ()

    def load_pretrained(self) -> None:
        """Load pretrained weights into the built layers, where the settings name some."""
        return

    @abstractmethod
    def forward(self, privileged: Privileged) -> Tensor:
        """Encode B samples.

        Returns:
            Features (B, D).
        """


def describe(encoder: PrivilegedEncoder) -> dict[str, Any]:
    """Return class and settings of an encoder, as primitives."""
    kind = type(encoder)
    return {"encoder": f"{kind.__module__}.{kind.__qualname__}", "settings": encoder.settings}


def encoder_from(description: Mapping[str, Any]) -> PrivilegedEncoder:
    """Return the encoder that `describe` described, without layers.

    Raises:
        TypeError: If the class is no encoder.
    """
    module, _, name = description["encoder"].rpartition(".")
    kind = getattr(importlib.import_module(module), name)
    if not (isinstance(kind, type) and issubclass(kind, PrivilegedEncoder)):
        raise TypeError(f"Expected a PrivilegedEncoder but '{description['encoder']}' is a {kind!r}.")
    return kind.from_settings(description["settings"])
