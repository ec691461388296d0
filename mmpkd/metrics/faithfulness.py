"""Faithfulness: does the prediction change when the patches that a map marks as relevant are deleted or inserted?

A map can lie on the finding without showing what the student uses, and the other way round.
"""

from collections.abc import Iterator
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torchvision.transforms.functional import gaussian_blur

from mmpkd.attribution.base import check_labels, evaluating, logits_of
from mmpkd.metrics.patches import patch_of_pixel

Baseline = Literal["mean", "blur"]


class Curves(NamedTuple):
    """Probabilities of a finding while an image is changed patch by patch, most relevant patches first.

    Attributes:
        deletion: Float32 (B, T + 1), from the image to the baseline. It falls fast for a faithful map. NaN for a map that is not
            finite everywhere; the same for the insertion.
        insertion: Float32 (B, T + 1), from the baseline to the image. It rises fast for a faithful map.
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

    Whole patches are changed, since a map has no finer resolution, in steps of equal size. Patches that tie are taken in a fixed
    random order.

    Args:
        student: A student, or a timm model.
        image: Float (B, C, H, W), normalised.
        heatmap: Float (B, h, w) on the patch grid.
        label: Int64 (B,), index of the finding whose probability is recorded.
        num_steps: Number of steps T, from 1 to the number of patches.
        deletion_baseline: Replacement of deleted patches: the `mean` of the image, or a `blur` of it with a standard deviation
            of 1/45 of the shorter side (5 pixels of 224).
        insertion_baseline: Image that patches are inserted into: `mean` or `blur`.

    Raises:
        ValueError: If shapes do not fit or the number of steps is out of range.

    Example:
        >>> import torch
        >>> student = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())  # the logit is the mean of the image
        >>> image = torch.tensor([[[[4.0, 0.0]]]])  # two patches of one pixel
        >>> heatmap = torch.tensor([[[1.0, 0.0]]])
        >>> curves = perturbation_curves(student, image, heatmap, torch.tensor([0]), 2, insertion_baseline="mean")
        >>> curves.deletion.logit()  # pixels 4 0, then 2 0, then 2 2
        tensor([[2.0000, 1.0000, 2.0000]])
    """
    _check(image, heatmap, label, num_steps)
    removed = _baseline(image, deletion_baseline)
    empty = _baseline(image, insertion_baseline)
    deleted: list[Tensor] = []
    inserted: list[Tensor] = []
    with evaluating(student), torch.no_grad():
        for is_changed in _changed_pixels(heatmap, image, num_steps):
            deleted.append(_probability(student, torch.where(is_changed, removed, image), label))
            inserted.append(_probability(student, torch.where(is_changed, image, empty), label))
    # a map that is not finite everywhere has no order
    is_broken = ~heatmap.isfinite().flatten(1).all(1, keepdim=True)  # (B, 1)
    return Curves(*(torch.stack(curve, dim=1).masked_fill(is_broken, torch.nan) for curve in (deleted, inserted)))


def area_under_curve(curve: Tensor) -> Tensor:
    """Return the area under curves over [0, 1], by the trapezoidal rule.

    Args:
        curve: Float (B, T + 1).

    Returns:
        Float (B,).

    Example:
        >>> import torch
        >>> area_under_curve(torch.tensor([[1.0, 0.5, 0.0]]))
        tensor([0.5000])
    """
    return (curve[:, 1:] + curve[:, :-1]).mean(1) / 2


def _check(image: Tensor, heatmap: Tensor, label: Tensor, num_steps: int) -> None:
    num_patches = heatmap[0].numel() if heatmap.ndim == 3 and len(heatmap) else 0
    is_one_each = image.ndim == 4 and len(image) == len(heatmap) and label.shape == image.shape[:1]
    if not is_one_each or not 1 <= num_steps <= num_patches:
        raise ValueError(
            f"Expected one heatmap (h, w) and one label per image, and 1 to {num_patches} steps, but got images "
            f"{tuple(image.shape)}, heatmaps {tuple(heatmap.shape)}, labels {tuple(label.shape)} and {num_steps} steps."
        )


def _changed_pixels(heatmap: Tensor, image: Tensor, num_steps: int) -> Iterator[Tensor]:
    """Yield the pixels that are changed after 0, 1, ..., `num_steps` steps, bool (B, 1, H, W)."""
    size = (int(image.shape[2]), int(image.shape[3]))
    grid = (int(heatmap.shape[1]), int(heatmap.shape[2]))
    place = _places(heatmap)  # (B, h*w)
    patch = patch_of_pixel(size, grid, image.device)  # (H*W,)
    for step in range(num_steps + 1):
        is_changed = place < round(step * place.shape[1] / num_steps)
        yield is_changed[:, patch].reshape(len(image), 1, *size)


def _probability(student: nn.Module, image: Tensor, label: Tensor) -> Tensor:
    """Return the probability of each image's finding, float32 (B,)."""
    logits = logits_of(student(image))
    check_labels(label, *logits.shape)
    return logits.float().sigmoid().gather(1, label[:, None])[:, 0]


def _places(heatmap: Tensor) -> Tensor:
    """Return the rank of each patch by relevance, int64 (B, h*w), 0 for the most relevant."""
    flat = heatmap.float().flatten(1)
    # a stable sort of shuffled patches breaks ties at random
    shuffled = torch.randperm(flat.shape[1], generator=torch.Generator().manual_seed(0)).to(flat.device)
    order = shuffled[flat[:, shuffled].sort(dim=1, descending=True, stable=True).indices]
    return torch.empty_like(order).scatter_(1, order, torch.arange(flat.shape[1], device=flat.device).expand_as(order))


def _baseline(image: Tensor, kind: Baseline) -> Tensor:
    if kind == "mean":
        return image.mean((1, 2, 3), keepdim=True).expand_as(image)
    # the paper's 5 pixels of 224, at any resolution
    sigma = min(image.shape[2:]) / 45
    # odd, as torchvision needs it, with two standard deviations on each side
    size = 2 * round(2 * sigma) + 1
    blurred: Tensor = gaussian_blur(image, [size, size], [sigma, sigma])
    return blurred
