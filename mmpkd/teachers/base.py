"""What an encoder of privileged input is."""

from abc import ABC, abstractmethod
from typing import Any

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

    def load_pretrained(self) -> None:
        """Load pretrained weights into the built layers, where the settings name some."""
        return

    @abstractmethod
    def forward(self, privileged: Privileged) -> Tensor:
        """Encode B samples.

        Returns:
            Features (B, D).
        """
