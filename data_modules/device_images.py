"""Prepared images in the memory of a device, with the augmentation there: a loader then serves labels and indices only."""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from data_modules.prepared import PreparedImages
from data_modules.transforms import Augmentation

# images copied to the device at once
CHUNK = 1024
_MASK = 0xFFFFFFFF


class DeviceImages:
    """All images of a split on one device, as stored.

    The random changes of a sample depend on (seed, epoch, index) alone, as in `SampleTransform`, but not on the same stream:
    a run with and one without differ in their augmentation, and in nothing else.

    Args:
        prepared: Prepared images of the split.
        augmentation: What may change, or None.
        mean: Mean of the grey values in [0, 1].
        std: Their standard deviation, > 0.
        seed: Seed of all random streams.
        device: Where the images are kept.
    """

    def __init__(
        self,
        prepared: PreparedImages,
        augmentation: Augmentation | None,
        mean: float,
        std: float,
        seed: int,
        device: torch.device,
    ) -> None:
        side, self.seed, self.mean, self.std = prepared.meta.side, seed, mean, std
        self.augmentation = augmentation
        self.scale = 1 / float(np.iinfo(prepared.meta.depth).max)
        self.pixels = torch.empty((len(prepared), side, side), dtype=_TYPES[prepared.meta.depth], device=device)
        for start in range(0, len(prepared), CHUNK):
            rows = np.arange(start, min(start + CHUNK, len(prepared)))
            self.pixels[start : start + len(rows)] = torch.from_numpy(_signed(prepared.stored(rows))).to(device)

    def batch(self, index: Tensor, epoch: int) -> Tensor:
        """Return normalised images.

        Args:
            index: Int64 (B,), positions in the split.
            epoch: Epoch that the samples are drawn in.

        Returns:
            Float32 (B, 1, H, W).
        """
        index = index.to(self.pixels.device)
        stored = self.pixels[index]
        image = (
            (stored.int() & 0xFFFF if stored.dtype == torch.int16 else stored)
            .to(torch.float32)
            .mul(self.scale)[:, None]
        )
        if self.augmentation is not None:
            image = augment(image, self.augmentation, self.seed, epoch, index)
        return (image - self.mean) / self.std


# torch has no arithmetic for uint16: the bits are kept in int16
_TYPES = {"uint8": torch.uint8, "uint16": torch.int16}


def _signed(pixels: NDArray[np.generic]) -> NDArray[np.generic]:
    return pixels.view(np.int16) if pixels.dtype == np.uint16 else pixels


def augment(image: Tensor, augmentation: Augmentation, seed: int, epoch: int, index: Tensor) -> Tensor:
    """Change each image at random: shift in whole pixels, scale, rotation, mirror; then contrast and brightness.

    Args:
        image: Float32 (B, 1, H, W) in [0, 1].
        augmentation: What may change.
        seed: Seed of the run.
        epoch: Epoch.
        index: Int64 (B,), positions in the split.

    Returns:
        Float32 (B, 1, H, W) in [0, 1].
    """
    a = augmentation
    u = uniform(seed, epoch, index, 7)
    if a.shift or a.scale or a.rotate or a.horizontal_flip:
        height, width = image.shape[-2:]
        shift = [torch.round(round(a.shift * n) * (2 * u[:, i] - 1)) * 2 / n for i, n in enumerate((width, height))]
        scale, angle = 1 + a.scale * (2 * u[:, 2] - 1), math.radians(a.rotate) * (2 * u[:, 3] - 1)
        mirror = torch.where(u[:, 4] < a.horizontal_flip, -1.0, 1.0)
        cos, sin = angle.cos() / scale, angle.sin() / scale
        # from where each pixel is taken: shift back, rotate and scale about the centre, mirror
        rows = [
            torch.stack([mirror * cos, mirror * sin, mirror * (-cos * shift[0] - sin * shift[1])], dim=1),
            torch.stack([-sin, cos, sin * shift[0] - cos * shift[1]], dim=1),
        ]
        grid = F.affine_grid(torch.stack(rows, dim=1), list(image.shape), align_corners=False)
        image = F.grid_sample(image, grid, padding_mode="border", align_corners=False)
    if a.contrast or a.brightness:
        gain, offset = 1 + a.contrast * (2 * u[:, 5] - 1), a.brightness * (2 * u[:, 6] - 1)
        image = (image * gain[:, None, None, None] + offset[:, None, None, None]).clamp(0, 1)
    return image


def uniform(seed: int, epoch: int, index: Tensor, count: int) -> Tensor:
    """Return float32 (B, count) in [0, 1) that depend on seed, epoch and index alone, on any device.

    Each number is the lowbias32 hash (https://nullprogram.com/blog/2018/07/31/) of the four integers, one after the other.
    """
    state = _mix(index.long() & _MASK)
    for number in (epoch, seed):
        state = _mix((state + 0x9E3779B9 * (number + 1)) & _MASK)
    column = torch.arange(1, count + 1, device=index.device)
    bits = _mix((state[:, None] + 0x85EBCA6B * column) & _MASK)
    return (bits >> 8).to(torch.float32) / 2**24


def _mix(value: Tensor) -> Tensor:
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
        value = ((value ^ (value >> shift)) * factor) & _MASK
    return value ^ (value >> 16)
