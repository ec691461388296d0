"""Faithfulness: does the prediction change when what a map calls relevant is taken away, or put back?

A map may be plausible, since it lies on the finding, and still say nothing about what the student uses; or the reverse.
"""

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torchvision.transforms.functional import gaussian_blur

from mmpkd.attribution.base import check_labels, evaluating, logits_of

Baseline = Literal["mean", "blur"]


class Curves(NamedTuple):
    """Probabilities of the finding while an image is changed patch by patch.

    Attributes:
        deletion: Float32 (B, T + 1), from the image to the baseline, most relevant patches first; should fall fast.
        insertion: Float32 (B, T + 1), from the baseline to the image, most relevant patches first; should rise fast.
    """

    deletion: Tensor
    insertion: Tensor


def perturbation_curves(
    student: nn.Module,
    image: Tensor,
    heatmap: Tensor,
    label: Tensor,
    num_steps: int = 10,
    deletion_baseline: Baseline = "mean",
    insertion_baseline: Baseline = "blur",
) -> Curves:
    """Return deletion and insertion curves (Petsiuk et al. 2018, section 4.3, https://arxiv.org/abs/1806.07421).

    Whole patches are changed, in as many equal steps, since a map has no finer resolution. Patches that tie are taken in a
    fixed random order.

    Args:
        student: A student, or a timm model.
        image: Float (B, C, H, W), normalised.
        heatmap: Float (B, h, w) on the patch grid.
        label: Int64 (B,), the finding whose probability is followed.
        num_steps: Number of steps T, from 1 to the number of patches.
        deletion_baseline: What patches are replaced by: the image's own `mean`, or a `blur` of it, whose standard deviation
            is 1/45 of the side (5 pixels of 224).
        insertion_baseline: What patches are put into.

    Raises:
        ValueError: If shapes do not fit or the number of steps is out of its range.
    """
    num_patches = heatmap[0].numel() if heatmap.ndim == 3 and len(heatmap) else 0
    if len(image) != len(heatmap) or label.shape != image.shape[:1] or not 1 <= num_steps <= max(num_patches, 1):
        raise ValueError(
            f"Expected one heatmap (h, w) and one label an image, and 1 to {num_patches} steps, but got images "
            f"{tuple(image.shape)}, heatmaps {tuple(heatmap.shape)}, labels {tuple(label.shape)} and {num_steps} steps."
        )
    place = _places(heatmap)
    patch = _patch_of_pixel(heatmap, image)
    deleted: list[Tensor] = []
    inserted: list[Tensor] = []
    baselines = {kind: _baseline(image, kind) for kind in {deletion_baseline, insertion_baseline}}
    with evaluating(student), torch.no_grad():
        for step in range(num_steps + 1):
            changed = (place < round(step * num_patches / num_steps))[:, patch].reshape(len(image), 1, *image.shape[2:])
            for curve, first, second in (
                (deleted, image, baselines[deletion_baseline]),
                (inserted, baselines[insertion_baseline], image),
            ):
                logits = logits_of(student(torch.where(changed, second, first)))
                check_labels(label, *logits.shape)
                curve.append(logits.float().sigmoid().gather(1, label[:, None])[:, 0])
    return Curves(torch.stack(deleted, dim=1), torch.stack(inserted, dim=1))


def area_under_curve(curve: Tensor) -> Tensor:
    """Return the mean height (B,) of curves (B, T + 1), by the trapezoidal rule."""
    return (curve[:, 1:] + curve[:, :-1]).mean(1) / 2


def _places(heatmap: Tensor) -> Tensor:
    """Return the place of each patch in the order of relevance, int64 (B, h w), 0 for the most relevant."""
    flat = heatmap.float().flatten(1)
    shuffled = torch.randperm(flat.shape[1], generator=torch.Generator().manual_seed(0)).to(flat.device)
    order = shuffled[flat[:, shuffled].sort(dim=1, descending=True, stable=True).indices]
    return torch.empty_like(order).scatter_(1, order, torch.arange(flat.shape[1], device=flat.device).expand_as(order))


def _patch_of_pixel(heatmap: Tensor, image: Tensor) -> Tensor:
    """Return the patch of each pixel, int64 (H W,)."""
    row, column = (
        torch.arange(pixels, device=image.device) * patches // pixels
        for pixels, patches in zip(image.shape[2:], heatmap.shape[1:], strict=True)
    )
    return (row[:, None] * heatmap.shape[2] + column).flatten()


def _baseline(image: Tensor, kind: Baseline) -> Tensor:
    if kind == "mean":
        return image.mean((1, 2, 3), keepdim=True).expand_as(image)
    sigma = min(image.shape[2:]) / 45
    size = 2 * round(2 * sigma) + 1
    blurred: Tensor = gaussian_blur(image, [size, size], [sigma, sigma])
    return blurred
