"""Base classes of attributions, and the checks and context managers that they share."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

import torch
from torch import Tensor, nn


class AttributionMethod(ABC):
    """Computes how much each patch of an image matters to a student.

    A method takes plain values as arguments, so YAML can build it by `class_path`. Its map is the same for all findings;
    `ClassAttribution` is the base class of methods with one map per finding.

    Attributes:
        name: Short name, used in metric keys, tables and file names.
        is_baseline: Whether the map is a baseline map, which does not depend on the student and never changes.
        is_of_finding: Whether the map depends on the finding. One that does not can be scored against the union of an image's
            regions; scores of the two kinds are not compared with each other.

    Example:
        >>> import torch
        >>> class BrightPatches(AttributionMethod):
        ...     name = "bright_patches"
        ...     def __call__(self, student, image):
        ...         return nn.functional.avg_pool2d(image.mean(1), 16)  # patches of 16 x 16 pixels
        >>> BrightPatches()(nn.Identity(), torch.ones(1, 3, 32, 48))
        tensor([[[1., 1., 1.],
                 [1., 1., 1.]]])
    """

    name: str
    is_baseline: ClassVar[bool] = False
    is_of_finding: ClassVar[bool] = False

    @property
    def title(self) -> str:
        """The name as shown in reports and figures."""
        return self.name.replace("_", " ")

    def check(self, student: nn.Module) -> None:  # noqa: B027  most methods work with any student
        """Raise an error if there can be no map of a student. A run asks before any long work; by default, all have maps."""

    @abstractmethod
    def __call__(self, student: nn.Module, image: Tensor) -> Tensor:
        """Compute heatmaps.

        Args:
            student: A student, or a timm vision transformer. It is not changed; its modules stay in train or eval mode.
            image: Float (B, C, H, W), normalised.

        Returns:
            Float32 (B, h, w) on the patch grid, values >= 0, not normalised.
        """


class ClassAttribution(AttributionMethod):
    """Computes how much each patch of an image matters to a student's logit of one finding.

    Example:
        >>> import torch
        >>> class HalfImage(ClassAttribution):
        ...     name = "half_image"
        ...     def of_label(self, student, image, label):
        ...         left = (label == 0).float()  # finding 0 is on the left, all others on the right
        ...         return torch.stack([left, 1 - left], dim=1)[:, None]
        >>> student = nn.Sequential(nn.Flatten(), nn.LazyLinear(2))
        >>> HalfImage()(student, torch.ones(1, 1, 4, 4))  # one map for each of the two findings
        tensor([[[[1., 0.]],
        <BLANKLINE>
                 [[0., 1.]]]])
    """

    is_of_finding = True

    @abstractmethod
    def of_label(self, student: nn.Module, image: Tensor, label: Tensor) -> Tensor:
        """Compute one heatmap per image, each for one finding.

        Args:
            student: A student, or a timm model. It is not changed; its modules stay in train or eval mode.
            image: Float (B, C, H, W), normalised.
            label: Int64 (B,), index of the finding to explain in each image.

        Returns:
            Float32 (B, h, w), values >= 0, not normalised.
        """

    def __call__(self, student: nn.Module, image: Tensor) -> Tensor:
        """Compute the heatmaps of all findings, float32 (B, K, h, w); see `AttributionMethod`."""
        with evaluating(student), torch.no_grad():
            num_labels = logits_of(student(image)).shape[1]
        labels = (torch.full((len(image),), k, dtype=torch.int64, device=image.device) for k in range(num_labels))
        return torch.stack([self.of_label(student, image, label) for label in labels], dim=1)


def logits_of(output: object) -> Tensor:
    """Return the logits (B, K) in the output of a student or a timm model.

    Raises:
        TypeError: If the output is no tensor and has no `logits`.
    """
    logits = getattr(output, "logits", output)
    if not isinstance(logits, Tensor):
        raise TypeError(f"Expected a model that returns logits but it returned {type(output).__name__}.")
    return logits


def check_images(image: Tensor) -> None:
    """Raise a ValueError unless the shape is (B, C, H, W) with B >= 1."""
    if image.ndim != 4 or not len(image):
        raise ValueError(f"Expected images (B, C, H, W), at least one, but got {tuple(image.shape)}.")


def check_labels(label: Tensor, num_images: int, num_labels: int) -> None:
    """Raise a ValueError unless there is one valid label per image."""
    if not isinstance(label, Tensor):
        raise ValueError(f"Expected `label` to be an int64 tensor with {num_images} values but got {label!r}.")
    if label.shape != (num_images,) or label.dtype != torch.int64 or bool(((label < 0) | (label >= num_labels)).any()):
        raise ValueError(
            f"Expected `label` to be int64 with {num_images} values in [0, {num_labels - 1}] but got {label.dtype} "
            f"{label.tolist()}."
        )


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Put a module in eval mode, and restore the mode of each submodule on exit."""
    # the modes can differ: frozen blocks of a student stay in eval mode while the rest is trained
    flags = [(child, child.training) for child in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for child, training in flags:
            child.training = training


@contextmanager
def differentiating(module: nn.Module) -> Iterator[None]:
    """Enable gradients of activations but not of weights, with the module in eval mode.

    This also works inside `torch.inference_mode`. Gradient checkpointing (timm's `set_grad_checkpointing`) is switched off.
    """
    wanted = [parameter for parameter in module.parameters() if parameter.requires_grad]
    # checkpointing runs blocks a second time in the backward pass, so hooks would fire twice
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
    """Return the gradient of one logit per sample with respect to activations.

    Args:
        output: Output of the model.
        label: Int64 (B,), index of the logit to differentiate in each sample.
        activations: Tensors of the graph, of any shape.

    Returns:
        Gradients of the same shapes.

    Raises:
        ValueError: If the model has no such label.
    """
    logits = logits_of(output)
    check_labels(label, *logits.shape)
    # a logit depends only on activations of its own sample, so one backward pass of the sum gives all gradients
    # the labels are copied, because those made in inference mode cannot be part of a graph
    chosen = logits.float().gather(1, label.clone()[:, None]).sum()
    return list(torch.autograd.grad(chosen, activations))
