"""Base classes of attributions, with the checks and the modes that all of them share."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

import torch
from torch import Tensor, nn


class AttributionMethod(ABC):
    """Says how much each patch of an image matters to a student.

    A method is configured by plain values and can be built from YAML by its `class_path`. Its map is the same for every finding.
    `ClassAttribution` is the base class of methods with one map per finding.

    Attributes:
        name: Short name, used in metric keys, tables and file names.
        is_baseline: Whether the map is a baseline map, which does not depend on the student and never changes.
        is_of_finding: Whether the map depends on the finding. One that does not can be scored against the union of an image's
            regions; scores of the two kinds are not compared with each other.
    """

    name: str
    is_baseline: ClassVar[bool] = False
    is_of_finding: ClassVar[bool] = False

    @property
    def title(self) -> str:
        """The name as it is written in reports and figures."""
        return self.name.replace("_", " ")

    @abstractmethod
    def __call__(self, student: nn.Module, image: Tensor) -> Tensor:
        """Compute heatmaps.

        Args:
            student: A student, or a timm vision transformer. It is left unchanged, including its training flags.
            image: Float (B, C, H, W), normalised.

        Returns:
            Float32 (B, h, w) on the patch grid, values >= 0, not normalised.
        """


class ClassAttribution(AttributionMethod):
    """Says how much each patch of an image matters to a student's logit of one finding."""

    is_of_finding = True

    @abstractmethod
    def of_label(self, student: nn.Module, image: Tensor, label: Tensor) -> Tensor:
        """Compute one heatmap per image, each for one finding.

        Args:
            student: A student, or a timm model. It is left unchanged, including its training flags.
            image: Float (B, C, H, W), normalised.
            label: Int64 (B,), the finding to explain in each image, as an index of the labels.

        Returns:
            Float32 (B, h, w), values >= 0, not normalised.
        """

    def __call__(self, student: nn.Module, image: Tensor) -> Tensor:
        """Compute heatmaps of every finding, float32 (B, K, h, w); see `AttributionMethod`."""
        with evaluating(student), torch.no_grad():
            num_labels = logits_of(student(image)).shape[1]
        labels = (torch.full((len(image),), k, dtype=torch.int64, device=image.device) for k in range(num_labels))
        return torch.stack([self.of_label(student, image, label) for label in labels], dim=1)


def logits_of(output: object) -> Tensor:
    """Return the logits (B, K) in the output of a student or a timm model."""
    logits = getattr(output, "logits", output)
    if not isinstance(logits, Tensor):
        raise TypeError(f"Expected a model that returns logits but it returned {type(output).__name__}.")
    return logits


def check_images(image: Tensor) -> None:
    """Raise a ValueError unless there is at least one image (C, H, W)."""
    if image.ndim != 4 or not len(image):
        raise ValueError(f"Expected images (B, C, H, W), at least one, but got {tuple(image.shape)}.")


def check_labels(label: Tensor, num_images: int, num_labels: int) -> None:
    """Raise a ValueError unless there is one valid label per image."""
    if label.shape != (num_images,) or label.dtype != torch.int64 or bool(((label < 0) | (label >= num_labels)).any()):
        raise ValueError(
            f"Expected `label` to be int64 and {num_images} of the {num_labels} labels but got {label.dtype} {label.tolist()}."
        )


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Put a module in eval mode, and each of its submodules back in its own mode afterwards."""
    # modes differ: frozen blocks of a student stay in eval mode while the rest is trained
    flags = [(child, child.training) for child in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for child, training in flags:
            child.training = training


@contextmanager
def differentiating(module: nn.Module) -> Iterator[None]:
    """Record gradients of activations but not of weights, with the module in eval mode.

    This also works within `torch.inference_mode`. Gradient checkpointing (timm's `set_grad_checkpointing`) is off meanwhile.
    """
    wanted = [parameter for parameter in module.parameters() if parameter.requires_grad]
    # checkpointing runs blocks again in the backward pass, and hooks would see each of them twice
    checkpointing = [child for child in module.modules() if getattr(child, "grad_checkpointing", False)]
    with evaluating(module), torch.inference_mode(False), torch.enable_grad():
        for parameter in wanted:
            parameter.requires_grad_(False)
        for child in checkpointing:
            child.grad_checkpointing = False  # type: ignore[assignment]
        try:
            yield
        finally:
            for parameter in wanted:
                parameter.requires_grad_(True)
            for child in checkpointing:
                child.grad_checkpointing = True  # type: ignore[assignment]


def gradients_of_logit(output: object, label: Tensor, activations: list[Tensor]) -> list[Tensor]:
    """Return the gradients of the chosen logit of each sample with respect to activations.

    Args:
        output: Output of the model.
        label: Int64 (B,), the logit to differentiate in each sample.
        activations: Tensors of the graph, of any shape.

    Raises:
        ValueError: If the model has no such label.
    """
    logits = logits_of(output)
    check_labels(label, *logits.shape)
    # a sample's logit depends on its own activations only, so the gradient of the sum holds that of each sample
    chosen = logits.float().gather(1, label[:, None]).sum()
    return list(torch.autograd.grad(chosen, activations))
