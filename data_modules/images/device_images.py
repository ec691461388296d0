"""Prepared images in the memory of a device, and their augmentation there; loaders then serve only labels and indices."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from data_modules.images.hashing import MASK, scramble, to_uniform
from data_modules.images.prepared import PreparedImages
from data_modules.images.stored_pixels import TYPES, for_torch, grey_values
from data_modules.images.transforms import Augmentation

# images copied to the device at once
CHUNK = 1024


class DeviceImages:
    """All images of a split on one device, as stored.

    The random changes of a sample depend on (seed, epoch, index) alone and have the same distribution as in `SampleTransform`,
    but come from another random stream. Runs with and without this class differ in nothing else.

    Args:
        prepared: Prepared images of the split.
        augmentation: Random changes, or None.
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
        side = prepared.meta.side
        self.seed = seed
        self.mean = mean
        self.std = std
        self.augmentation = augmentation
        self.pixels = torch.empty((len(prepared), side, side), dtype=TYPES[prepared.meta.depth], device=device)
        for start in range(0, len(prepared), CHUNK):
            rows = np.arange(start, min(start + CHUNK, len(prepared)))
            self.pixels[start : start + len(rows)] = torch.from_numpy(for_torch(prepared.stored(rows))).to(device)

    def batch(self, index: Tensor, epoch: int) -> Tensor:
        """Return normalised images.

        Args:
            index: Int64 (B,), positions in the split.
            epoch: Epoch that the samples are drawn in.

        Returns:
            Float32 (B, 1, H, W).
        """
        index = index.to(self.pixels.device)
        image = grey_values(self.pixels[index])[:, None]  # (B, 1, H, W)
        if self.augmentation is not None:
            image = augment(image, self.augmentation, self.seed, epoch, index)
        return (image - self.mean) / self.std


@dataclass(frozen=True)
class Changes:
    """Random changes of B images, float32 (B,) each.

    Attributes:
        shift_x: Pixels to the right.
        shift_y: Pixels downwards.
        scale: Factor of the size.
        angle: Degrees, counterclockwise.
        mirror: -1 for a left-right flip, otherwise 1.
        gain: Factor of the grey values.
        offset: Number that is added to them.
    """

    shift_x: Tensor
    shift_y: Tensor
    scale: Tensor
    angle: Tensor
    mirror: Tensor
    gain: Tensor
    offset: Tensor


def draw_changes(augmentation: Augmentation, side: int, seed: int, epoch: int, index: Tensor) -> Changes:
    """Draw the changes from (seed, epoch, index) alone.

    Args:
        augmentation: Random changes that may occur.
        side: Side of the images in pixels.
        seed: Seed of the run.
        epoch: Epoch.
        index: Int64 (B,), positions in the split.
    """
    a = augmentation
    most = round(augmentation.shift * side)
    u = uniform(seed, epoch, index, 7)  # (B, 7), one column per change
    signed = 2 * u - 1
    return Changes(
        # uniform over whole pixels, both ends included
        shift_x=torch.floor(u[:, 0] * (2 * most + 1)) - most,
        shift_y=torch.floor(u[:, 1] * (2 * most + 1)) - most,
        scale=1 + a.scale * signed[:, 2],
        angle=a.rotate * signed[:, 3],
        mirror=torch.where(u[:, 4] < a.horizontal_flip, -1.0, 1.0),
        gain=1 + a.contrast * signed[:, 5],
        offset=a.brightness * signed[:, 6],
    )


def augment(image: Tensor, augmentation: Augmentation, seed: int, epoch: int, index: Tensor) -> Tensor:
    """Change each image at random, as `Augmentation` says.

    Args:
        image: Float32 (B, 1, H, H) in [0, 1].
        augmentation: Random changes that may occur.
        seed: Seed of the run.
        epoch: Epoch.
        index: Int64 (B,), positions in the split.

    Returns:
        Float32 (B, 1, H, H) in [0, 1].
    """
    a = augmentation
    changes = draw_changes(a, image.shape[-1], seed, epoch, index)
    if a.shift or a.scale or a.rotate or a.horizontal_flip:
        image = warp(image, changes)
    if a.contrast or a.brightness:
        image = adjust(image, changes)
    return image


def warp(image: Tensor, changes: Changes) -> Tensor:
    """Mirror each image (B, 1, H, H), scale and rotate it about its centre, then shift it; the border is repeated."""
    # `affine_grid` counts positions from -1 to 1 across the image
    side = image.shape[-1]
    shift_x = 2 * changes.shift_x / side
    shift_y = 2 * changes.shift_y / side
    angle = torch.deg2rad(changes.angle)
    cos = angle.cos() / changes.scale
    sin = angle.sin() / changes.scale
    # map each output pixel to its source, so the changes are undone in reverse order: shift, rotation, mirror
    rows = [  # two rows (B, 3) of each matrix
        torch.stack([cos, -sin, sin * shift_y - cos * shift_x], dim=1) * changes.mirror[:, None],
        torch.stack([sin, cos, -sin * shift_x - cos * shift_y], dim=1),
    ]
    grid = F.affine_grid(torch.stack(rows, dim=1), list(image.shape), align_corners=False)
    # not `padding_mode="border"`, which PyTorch has for Apple's devices only since its version 2.13
    outermost = 1 - 1 / side  # centre of the last pixel
    return F.grid_sample(image, grid.clamp(-outermost, outermost), align_corners=False)


def adjust(image: Tensor, changes: Changes) -> Tensor:
    """Multiply the grey values of each image (B, 1, H, H) by its gain, and add its offset; they stay in [0, 1]."""
    gain, offset = (value[:, None, None, None] for value in (changes.gain, changes.offset))
    return (image * gain + offset).clamp(0, 1)


def uniform(seed: int, epoch: int, index: Tensor, count: int) -> Tensor:
    """Return float32 (B, count) in [0, 1) that depend on seed, epoch and index alone, on any device.

    Each number is the successive hash of seed, epoch, index and its position; see `scramble`.
    """
    state = scramble(index.long() & MASK)  # (B,)
    for number in (epoch, seed):
        state = scramble((state + 0x9E3779B9 * (number + 1)) & MASK)
    # the second constant differs from the first, so that columns are no shifted epochs
    column = torch.arange(1, count + 1, device=index.device)
    return to_uniform(scramble((state[:, None] + 0x85EBCA6B * column) & MASK))
