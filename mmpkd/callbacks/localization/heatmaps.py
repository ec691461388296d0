"""Steps from a batch to heatmaps, shared by the localization callbacks."""

from collections.abc import Iterable

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn

from data_modules.batch import Batch
from mmpkd.attribution import AttributionMethod, ClassAttribution, pad_to_patches


def student_of(pl_module: LightningModule) -> nn.Module:
    """Return the student of a Lightning module.

    Raises:
        TypeError: If the module has no student.
    """
    student = getattr(pl_module, "student", None)
    if not isinstance(student, nn.Module):
        raise TypeError(
            f"Expected {type(pl_module).__name__} to have a `student` but it has none. Remove the localization and attribution "
            "callbacks from the configuration of a teacher."
        )
    return student


def check_methods(methods: Iterable[AttributionMethod], pl_module: LightningModule) -> None:
    """Raise an error if one of the methods cannot draw the student of a module. A module without a student passes."""
    student = getattr(pl_module, "student", None)
    for method in methods:
        if isinstance(student, nn.Module):
            method.check(student)


def with_whole_patches(student: nn.Module, batch: Batch) -> Batch:
    """Return the batch with images and masks padded in the same way as the student pads its input."""
    padded = batch.copy()
    for key in ("image", "roi_mask"):
        padded[key] = pad_to_patches(student, batch[key])
    return padded


def heatmaps_of_pairs(method: ClassAttribution, student: nn.Module, batch: Batch) -> Tensor:
    """Return the heatmap of each (image, finding) pair of a batch, float32 (R, h, w)."""
    # gradients take memory, so process at most as many pairs at a time as the batch has images
    size = len(batch["image"])
    parts = zip(torch.split(batch["roi_sample"], size), torch.split(batch["roi_label"], size), strict=True)
    return torch.cat([method.of_label(student, batch["image"][rows], labels) for rows, labels in parts])
