"""Grad-CAM."""

import torch
from torch import Tensor, nn

from mmpkd.attribution.base import ClassAttribution, differentiating, gradients_of_logit
from mmpkd.attribution.calls import eager
from mmpkd.attribution.layout import architecture, backbone


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
    """Grad-CAM (Selvaraju et al. 2017, https://arxiv.org/abs/1610.02391) of one finding, at the last norm before an attention.

    After the last attention, the patches of a model whose head reads the class token have no gradient at all. Needs no attention
    maps, so it works for windowed and reduced attention too (Swin, PVT, Twins). In blocks of parallel attentions, the channels
    of all their norms count.
    """

    name = "grad_cam"

    def of_label(self, student: nn.Module, image: Tensor, label: Tensor) -> Tensor:
        """Return the map of one finding in each image, float32 (B, h, w)."""
        model = backbone(student)
        norms = last_norms(model)
        kept: list[Tensor] = []

        def keep(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
            del module, args
            kept.append(output if output.requires_grad else output.requires_grad_())
            return output

        with differentiating(student), eager(model):
            handles = [norm.register_forward_hook(keep) for norm in norms]
            try:
                gradients = gradients_of_logit(student(image.clone()), label.clone(), kept)
            finally:
                for handle in handles:
                    handle.remove()
        size = (int(image.shape[-2]), int(image.shape[-1]))
        planes = [[_as_planes(model, value.detach(), size) for value in values] for values in (kept, gradients)]
        with torch.no_grad():
            return grad_cam(*(torch.cat(values, dim=1) for values in planes))


def last_norms(model: nn.Module) -> list[nn.Module]:
    """Return the norms before the last attention: one, or one a branch in blocks of parallel attentions.

    Raises:
        TypeError: If the model has none, as a convolutional network.
    """
    single = [module for name, module in model.named_modules() if name.split(".")[-1] in ("norm1", "in_norm")]
    if single:
        return [single[-1]]
    branches = [branch.norm for block in getattr(model, "blocks", ()) for branch in getattr(block, "attns", ())]
    if branches:
        return branches[-len(model.blocks[-1].attns) :]  # type: ignore[index,union-attr]
    raise TypeError(f"Expected a transformer with a norm before each attention but got {architecture(model)}.")


def _as_planes(model: nn.Module, value: Tensor, size: tuple[int, int]) -> Tensor:
    """Return tokens (B, N, C), or a map (B, h, w, C), as (B, C, h, w) without prefix tokens."""
    if value.ndim == 4:
        return value.permute(0, 3, 1, 2)
    reduction = int(model.feature_info[-1]["reduction"])  # type: ignore[index]
    rows, columns = (-(-pixels // reduction) for pixels in size)
    prefix = int(getattr(model, "num_prefix_tokens", None) or 0)
    if value.ndim != 3 or value.shape[1] != prefix + rows * columns:
        raise RuntimeError(
            f"Expected {prefix} prefix tokens and {rows} x {columns} patches before the last attention of "
            f"{architecture(model)} but "
            f"got {tuple(value.shape)}."
        )
    return value[:, prefix:].transpose(1, 2).reshape(len(value), -1, rows, columns)
