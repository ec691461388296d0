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
    """Weigh channels by their mean gradient, and keep what speaks for the logit (Selvaraju et al. 2017, eq. 1 and 2,
    https://arxiv.org/abs/1610.02391).

    Args:
        activation: Float (B, C, h, w).
        gradient: Float (B, C, h, w), gradient of a logit with respect to it.

    Returns:
        Float32 (B, h, w), values >= 0.

    Raises:
        ValueError: If the shapes differ.
    """  # noqa: D205
    if activation.ndim != 4 or activation.shape != gradient.shape:
        raise ValueError(
            "Expected `activation` and `gradient` of the same shape (B, C, h, w) but got "
            f"{tuple(activation.shape)} and {tuple(gradient.shape)}."
        )
    weight = gradient.float().mean((2, 3), keepdim=True)
    return (weight * activation.float()).sum(1).clamp_min(0)


class GradCAM(ClassAttribution):
    """Grad-CAM (Selvaraju et al. 2017, https://arxiv.org/abs/1610.02391) of one finding, at what enters the last attention.

    That is the norm before it, or the input of the block where norms come after the attention. Beyond the last attention, the
    patches of a model whose head reads the class token have no gradient at all. Needs no attention maps, so it works for windowed
    and reduced attention too (Swin, PVT, Twins). In blocks of parallel attentions, the channels of all their norms count.
    """

    name = "grad_cam"

    def of_label(self, student: nn.Module, image: Tensor, label: Tensor) -> Tensor:
        """Return the map of one finding in each image, float32 (B, h, w).

        Raises:
            TypeError: If no block of the model has a norm and an attention, as in a convolutional network.
            RuntimeError: If what enters the last attention is not one vector a patch, as in windows of it.
            ValueError: If there is no image, its patches are not whole, or a label is none of the model's.
        """
        check_images(image)
        model = backbone(student)
        branches = last_attentions(model)
        kept: list[Tensor] = []

        def keep(value: Tensor) -> Tensor:
            kept.append(value if value.requires_grad else value.requires_grad_())
            return value

        with differentiating(student), eager(model), ExitStack() as stack:
            for branch in branches:
                stack.callback(_watch(branch, keep).remove)
            logits = student(image.clone())
            gradients = gradients_of_logit(logits, label.clone(), kept)
        planes = [[_as_planes(model, value.detach(), image) for value in values] for values in (kept, gradients)]
        with torch.no_grad():
            return grad_cam(*(torch.cat(values, dim=1) for values in planes))


def last_attentions(model: nn.Module) -> list[nn.Module]:
    """Return the last block that has a norm and an attention; its branches if attentions are side by side.

    Raises:
        TypeError: If the model has none, as a convolutional network.
    """
    found = [block for block in model.modules() if _norm(block) is not None and _attention(block) is not None]
    if not found:
        raise TypeError(
            f"Expected a transformer whose blocks have a norm and an attention but got {architecture(model)}. "
            "Choose another model, or remove grad_cam from the attributions."
        )
    side_by_side = getattr(getattr(model, "blocks", (None,))[-1], "attns", None)
    return found[-1:] if side_by_side is None else list(side_by_side)


def _norm(block: nn.Module) -> nn.Module | None:
    children = dict(block.named_children())
    names = ("norm1", "in_norm", "norm") if "attn" in children else ("norm1", "in_norm")
    return next((children[name] for name in names if name in children), None)


def _attention(block: nn.Module) -> nn.Module | None:
    is_attention = (
        name in ("attn", "attn_out_proj") or "Att" in type(child).__name__ for name, child in block.named_children()
    )
    return next((child for child, found in zip(block.children(), is_attention, strict=True) if found), None)


def _watch(block: nn.Module, keep: Callable[[Tensor], Tensor]) -> RemovableHandle:
    """Show what enters the attention of a block to a function, and go on with what it returns."""
    norm, attention = _norm(block), _attention(block)
    # timm's blocks hold their parts in the order in which they run
    is_before = norm is next(child for child in block.children() if child in (norm, attention))
    if norm is not None and is_before:
        return norm.register_forward_hook(lambda module, args, output: keep(output))
    return block.register_forward_pre_hook(lambda module, args: (keep(args[0]), *args[1:]))


def _as_planes(model: nn.Module, value: Tensor, image: Tensor) -> Tensor:
    """Return tokens (B, N, C), or a map (B, h, w, C) or (B, C, h, w), as (B, C, h, w) without prefix tokens."""
    size = (int(image.shape[-2]), int(image.shape[-1]))
    reduction = int(model.feature_info[-1]["reduction"])  # type: ignore[index]
    grid = rows, columns = -(-size[0] // reduction), -(-size[1] // reduction)
    prefix = int(getattr(model, "num_prefix_tokens", None) or 0)
    is_last, is_first = (value.ndim == 4 and tuple(value.shape[i : i + 2]) == grid for i in (1, 2))
    is_sequence = value.ndim == 3 and value.shape[1] == prefix + rows * columns
    if len(value) != len(image) or (is_last == is_first and not is_sequence):
        raise RuntimeError(
            f"Expected {prefix} prefix tokens and {rows} x {columns} patches to enter the last attention of "
            f"{architecture(model)}, as (B, N, C), (B, h, w, C) or (B, C, h, w), but got {tuple(value.shape)}. "
            "Choose another model, or remove grad_cam from the attributions."
        )
    check_whole(size, (reduction, reduction))
    if is_sequence:
        return value[:, prefix:].transpose(1, 2).reshape(len(value), -1, rows, columns)
    return value.permute(0, 3, 1, 2) if is_last else value
