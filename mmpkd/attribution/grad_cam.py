"""Grad-CAM."""

from collections.abc import Callable
from contextlib import ExitStack

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from mmpkd.attribution.base import ClassAttribution, check_images, differentiating, gradients_of_logit
from mmpkd.attribution.layout import architecture, backbone, check_whole
from mmpkd.attribution.recording.calls import eager


def grad_cam(activation: Tensor, gradient: Tensor) -> Tensor:
    """Sum channels weighted by their mean gradient, and keep the positive part.

    Source: Selvaraju et al. 2017, eq. 1 and 2, https://arxiv.org/abs/1610.02391.

    Args:
        activation: Float (B, C, h, w).
        gradient: Float (B, C, h, w), gradient of a logit with respect to the activation.

    Returns:
        Float32 (B, h, w), values >= 0.

    Raises:
        ValueError: If the shapes differ.

    Example:
        >>> import torch
        >>> activation = torch.tensor([[[[1.0, 2.0]], [[4.0, 0.0]]]])  # two channels of 1 x 2 patches
        >>> gradient = torch.tensor([[[[1.0, 1.0]], [[0.5, -0.5]]]])  # mean 1 and 0
        >>> grad_cam(activation, gradient)
        tensor([[[1., 2.]]])
    """
    if activation.ndim != 4 or activation.shape != gradient.shape:
        raise ValueError(
            "Expected `activation` and `gradient` of the same shape (B, C, h, w) but got "
            f"{tuple(activation.shape)} and {tuple(gradient.shape)}."
        )
    weight = gradient.float().mean((2, 3), keepdim=True)  # (B, C, 1, 1)
    return (weight * activation.float()).sum(1).clamp_min(0)


class GradCAM(ClassAttribution):
    """Grad-CAM (Selvaraju et al. 2017, https://arxiv.org/abs/1610.02391) of one finding, at the input of the last attention.

    The activation is the output of the norm before that attention, or the input of the block if its norms come afterwards. A
    later layer would not work: after the last attention, patches have no gradient if the head reads only the class token. In
    blocks with parallel attentions, the channels of all norms are used.

    Grad-CAM needs no attention maps, so it also works for windowed and reduced attention (Swin, PVT, Twins).

    Example:
        >>> import torch
        >>> import timm
        >>> model = timm.create_model("vit_tiny_patch16_224", img_size=32, depth=1, num_classes=3)
        >>> GradCAM().of_label(model, torch.zeros(2, 3, 32, 32), label=torch.tensor([0, 2])).shape
        torch.Size([2, 2, 2])
    """

    name = "grad_cam"

    def check(self, student: nn.Module) -> None:
        """Raise a TypeError if no block of the student has a norm and an attention."""
        last_attentions(backbone(student))

    def of_label(self, student: nn.Module, image: Tensor, label: Tensor) -> Tensor:
        """Return the map of one finding in each image, float32 (B, h, w).

        Raises:
            TypeError: If no block of the model has a norm and an attention, as in a convolutional network.
            RuntimeError: If the input of the last attention is not one vector per patch, for example if it is cut into windows.
            ValueError: If there is no image, its size is not a multiple of the patch size, or the model has no such label.
        """
        check_images(image)
        model = backbone(student)
        branches = last_attentions(model)
        kept: list[Tensor] = []

        def keep(value: Tensor) -> Tensor:
            # weights have no gradient here, so the graph starts at the first activation that is kept
            kept.append(value if value.requires_grad else value.requires_grad_())
            return value

        with differentiating(student), eager(model), ExitStack() as stack:
            for branch in branches:
                stack.callback(_watch(branch, keep).remove)
            # clones, because tensors created in inference mode cannot be used in autograd
            logits = student(image.clone())
            gradients = gradients_of_logit(logits, label, kept)
        activation_planes = [_as_planes(model, value.detach(), image) for value in kept]
        gradient_planes = [_as_planes(model, value, image) for value in gradients]
        with torch.no_grad():
            return grad_cam(torch.cat(activation_planes, dim=1), torch.cat(gradient_planes, dim=1))


def last_attentions(model: nn.Module) -> list[nn.Module]:
    """Return the last block with a norm and an attention, or its branches if it has parallel attentions.

    Raises:
        TypeError: If the model has no such block, as in a convolutional network.

    Example:
        >>> import timm
        >>> model = timm.create_model("vit_tiny_patch16_224", depth=2)
        >>> last_attentions(model) == [model.blocks[1]]
        True
    """
    found = [block for block in model.modules() if _norm(block) is not None and _attention(block) is not None]
    if not found:
        raise TypeError(
            f"Expected a transformer with a norm and an attention in its blocks but got {architecture(model)}. "
            "Choose another model, or remove grad_cam from the attributions."
        )
    side_by_side = getattr(getattr(model, "blocks", (None,))[-1], "attns", None)
    return found[-1:] if side_by_side is None else list(side_by_side)


def _norm(block: nn.Module) -> nn.Module | None:
    children = dict(block.named_children())
    # `in_norm` is in timm's ParallelScalingBlock, `norm` next to `attn` in a branch of its ParallelThingsBlock
    names = ("norm1", "in_norm", "norm") if "attn" in children else ("norm1", "in_norm")
    return next((children[name] for name in names if name in children), None)


def _attention(block: nn.Module) -> nn.Module | None:
    for name, child in block.named_children():
        if name in ("attn", "attn_out_proj") or "Att" in type(child).__name__:
            return child
    return None


def _watch(block: nn.Module, keep: Callable[[Tensor], Tensor]) -> RemovableHandle:
    """Replace the input of a block's attention by what `keep` returns for it."""
    norm = _norm(block)
    attention = _attention(block)
    # timm's blocks register their children in the order in which they run
    is_before = norm is next(child for child in block.children() if child in (norm, attention))
    if norm is not None and is_before:
        return norm.register_forward_hook(lambda module, args, output: keep(output))
    return block.register_forward_pre_hook(lambda module, args: (keep(args[0]), *args[1:]))


def _as_planes(model: nn.Module, value: Tensor, image: Tensor) -> Tensor:
    """Return tokens (B, N, C) or a map (B, h, w, C) or (B, C, h, w) as (B, C, h, w), without prefix tokens."""
    size = (int(image.shape[-2]), int(image.shape[-1]))
    reduction = int(model.feature_info[-1]["reduction"])  # type: ignore[index]
    # rounded up, as by convolutions with padding; `check_whole` below refuses images that need it
    rows = -(-size[0] // reduction)
    columns = -(-size[1] // reduction)
    prefix = int(getattr(model, "num_prefix_tokens", None) or 0)
    is_channels_last = value.ndim == 4 and tuple(value.shape[1:3]) == (rows, columns)
    is_channels_first = value.ndim == 4 and tuple(value.shape[2:4]) == (rows, columns)
    is_sequence = value.ndim == 3 and value.shape[1] == prefix + rows * columns
    # if both orders fit, the shape is ambiguous
    if len(value) != len(image) or (is_channels_last == is_channels_first and not is_sequence):
        raise RuntimeError(
            f"Expected {prefix} prefix tokens and {rows} x {columns} patches as input of the last attention of "
            f"{architecture(model)}, as (B, N, C), (B, h, w, C) or (B, C, h, w), but got {tuple(value.shape)}. "
            "Choose another model, or remove grad_cam from the attributions."
        )
    check_whole(size, (reduction, reduction))
    if is_sequence:
        return value[:, prefix:].transpose(1, 2).reshape(len(value), -1, rows, columns)
    return value.permute(0, 3, 1, 2) if is_channels_last else value
