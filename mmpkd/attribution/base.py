"""What every attribution method is."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn


class AttributionMethod(ABC):
    """Says how much each patch of an image matters to a student.

    A method is configured by plain values, so that YAML can name it with `class_path`.

    Attributes:
        name: Short name, used in metric keys, tables and file names.
    """

    name: str

    @abstractmethod
    def __call__(self, student: nn.Module, image: Tensor) -> Tensor:
        """Compute heatmaps.

        Args:
            student: A student, or a timm vision transformer. It is left as it was, its training flags included.
            image: Float (B, C, H, W), normalised.

        Returns:
            Float32 (B, h, w) on the patch grid, values >= 0, not normalised.
        """


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Put a module in eval mode and, afterwards, each of its submodules back in the mode that it was in."""
    flags = [(child, child.training) for child in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for child, training in flags:
            child.training = training
