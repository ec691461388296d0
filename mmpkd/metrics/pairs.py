"""Heatmaps against regions of interest: what several localization scores need, computed once."""

import math
from functools import cached_property

import torch
from torch import Tensor

from mmpkd.attribution.heatmap import scale_and_constant, upsample

# 16 bits; 65535 = 255 x 257, so that 8-bit values are every 257th of them
NUM_LEVELS = 2**16
TOP_LEVEL = NUM_LEVELS - 1


class Rois:
    """R regions of interest (ROIs) of b images; several attributions can be scored against one object.

    Args:
        mask: Bool (R, H, W).
        image: Int64 (R,), which of the images, and so of the heatmaps, each ROI belongs to; ROI i to image i if None.

    Raises:
        ValueError: If types or shapes do not fit.
    """

    def __init__(self, mask: Tensor, image: Tensor | None = None) -> None:
        if mask.dtype != torch.bool or mask.ndim != 3 or 0 in mask.shape[1:]:
            raise ValueError(f"Expected `mask` to be bool of shape (R, H, W) but got {mask.dtype} {tuple(mask.shape)}.")
        self.mask = mask
        self.image = torch.arange(len(mask), device=mask.device) if image is None else image
        if self.image.shape != mask.shape[:1] or self.image.dtype != torch.int64:
            found = f"{self.image.dtype} {tuple(self.image.shape)}"
            raise ValueError(f"Expected `image` to be int64 of shape ({len(mask)},) but got {found}.")
        self._near: dict[tuple[float, tuple[int, int]], Tensor] = {}

    def __len__(self) -> int:
        return len(self.mask)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return int(self.mask.shape[1]), int(self.mask.shape[2])

    @cached_property
    def num_pixels(self) -> Tensor:
        """Int64 (R,), pixels inside."""
        return self.mask.flatten(1).sum(1)

    @cached_property
    def inside_pixels(self) -> tuple[Tensor, Tensor]:
        """Int64 (n,) twice: ROI and place of all pixels that are inside."""
        return self.mask.flatten(1).nonzero(as_tuple=True)  # type: ignore[return-value]

    @cached_property
    def area(self) -> Tensor:
        """Float32 (R,), share of the frame: the chance level of pointing game, relevance mass and average precision."""
        return self.num_pixels.float() / (self.size[0] * self.size[1])

    @property
    def empty(self) -> Tensor:
        """Bool (R,), whether no pixel is inside: every score is undefined then."""
        return self.num_pixels == 0

    def hit_patches(self, grid: tuple[int, int], tolerance: float) -> Tensor:
        """Return, as bool (R, h w), which patch centres have a pixel of the ROI within a tolerance in pixels."""
        key = (tolerance, grid)
        if key not in self._near:
            self._near[key] = _patches_near(self.mask, tolerance, grid).flatten(1)
        return self._near[key]


class HeatmapPairs:
    """One heatmap per image, each against the ROIs of that image.

    Args:
        heatmap: Float (b, h, w) on the patch grid.
        rois: ROIs of the b images.

    Attributes:
        undefined: Bool (R,), whether no score is defined: the ROI is empty, or the heatmap has a value that is not finite.

    Raises:
        ValueError: If the shapes do not fit.
    """

    def __init__(self, heatmap: Tensor, rois: Rois) -> None:
        if heatmap.ndim != 3 or 0 in heatmap.shape[1:]:
            raise ValueError(f"Expected `heatmap` of shape (b, h, w), one an image, but got {tuple(heatmap.shape)}.")
        # what is the same for all images, as a map that sees none of them, is worked on once
        shared = len(heatmap) > 1 and heatmap.stride(0) == 0
        values = (heatmap[:1] if shared else heatmap).detach().float()
        finite = values.isfinite().flatten(1).all(1)
        self.heatmap = torch.where(finite[:, None, None], values, 0.0)
        self.rois = rois
        self.image = torch.zeros_like(rois.image) if shared else rois.image
        self.undefined = rois.empty | ~finite[self.image]

    @cached_property
    def pixels(self) -> Tensor:
        """Float32 (b, H W) in [-1, 1], interpolated; divided by the largest magnitude of the heatmap, so that sums are finite."""
        largest = self.heatmap.abs().amax((1, 2), keepdim=True).clamp_min(torch.finfo(torch.float32).tiny)
        return upsample(self.heatmap / largest, self.rois.size).flatten(1)

    @cached_property
    def scaled_and_constant(self) -> tuple[Tensor, Tensor]:
        """The next two, together."""
        # before interpolation, too, so that rounding is small beside the range of the map, whatever its offset
        patches, constant = scale_and_constant(self.heatmap)
        scaled, is_constant = scale_and_constant(upsample(patches, self.rois.size))
        return scaled.flatten(1), constant | is_constant

    @property
    def scaled(self) -> Tensor:
        """Float32 (b, H W) in [0, 1], scaled after interpolation; a constant heatmap is 0 everywhere."""
        return self.scaled_and_constant[0]

    @property
    def constant(self) -> Tensor:
        """Bool (b,), whether a heatmap has one value everywhere."""
        return self.scaled_and_constant[1]

    @cached_property
    def levels(self) -> Tensor:
        """Int32 (b, H W): the scaled heatmap in 16 bits, which ranks and thresholds are taken of; nearer values tie."""
        return (self.scaled * TOP_LEVEL).int()

    @cached_property
    def below(self) -> Tensor:
        """Int32 (b, 65537): how many pixels of a heatmap have a level below 0, 1, ..., 65536."""
        row = torch.arange(len(self.levels), dtype=torch.int32, device=self.levels.device)
        return _running_counts(self.levels, row[:, None], len(self.levels))

    @cached_property
    def hit_levels(self) -> Tensor:
        """Int32 (n,): the levels of all pixels that are inside an ROI, in the order of `Rois.inside_pixels`."""
        pair, pixel = self.rois.inside_pixels
        return self.levels.flatten().index_select(0, self.image[pair] * self.levels.shape[1] + pixel)

    @cached_property
    def hits_below(self) -> Tensor:
        """Int32 (R, 65537): how many pixels of an ROI have a level below 0, 1, ..., 65536."""
        return _running_counts(self.hit_levels, self.rois.inside_pixels[0].int(), len(self.rois))

    @cached_property
    def hit_ranks(self) -> tuple[Tensor, Tensor]:
        """Int32 (n,) twice, for all pixels inside: how many pixels of the heatmap are lower, and how many are not higher."""
        place = self.image[self.rois.inside_pixels[0]] * (NUM_LEVELS + 1) + self.hit_levels
        flat = self.below.flatten()
        return flat.index_select(0, place), flat.index_select(0, place + 1)

    def sum_hits(self, values: Tensor) -> Tensor:
        """Return the sum over the pixels of each ROI, int64 (R,) of integers (n,), exactly on any device."""
        running = torch.nn.functional.pad(values.long().cumsum(0), (1, 0))
        end = self.rois.num_pixels.cumsum(0)
        return running[end] - running[end - self.rois.num_pixels]

    def num_from(self, level: Tensor) -> Tensor:
        """Return how many pixels of each ROI's heatmap have at least a level, int64 (R, T) of levels (R, T)."""
        num_pixels = self.levels.shape[1]
        return num_pixels - self.below[self.image[:, None], level].long()

    def hits_from(self, level: Tensor) -> Tensor:
        """Return how many pixels of each ROI have at least a level, int64 (R, T) of levels (R, T)."""
        return self.rois.num_pixels[:, None] - self.hits_below.gather(1, level).long()

    def expected_hits(self, num: Tensor) -> Tensor:
        """Return how many of the `num` largest pixels (R,) are inside, float32 (R,); of ties, the expected share."""
        num_pixels = self.levels.shape[1]
        level = self._level_of_rank(num_pixels - num)
        certain, with_ties = self.num_from(level + 1), self.num_from(level)
        before, after = self.hits_from(level + 1), self.hits_from(level)
        share = (num[:, None] - certain).float() / (with_ties - certain).float()
        return (before + (after - before) * share)[:, 0]

    def _level_of_rank(self, rank: Tensor) -> Tensor:
        """Return the level of the pixel that is larger than `rank` others (R,) of its heatmap, int64 (R, 1), by bisection."""
        flat, first = self.below.flatten(), self.image * (NUM_LEVELS + 1)
        low = torch.zeros_like(rank)
        for bit in reversed(range(NUM_LEVELS.bit_length() - 1)):
            middle = low + 2**bit
            low = torch.where(flat.index_select(0, first + middle) <= rank, middle, low)
        return low[:, None]

    def own(self, values: Tensor) -> Tensor:
        """Return for each ROI the value of its heatmap: (b, ...) to (R, ...)."""
        return values[self.image]

    def inside(self, values: Tensor) -> Tensor:
        """Return the sum inside each ROI, (b, H W) to (R,)."""
        # no matrix product: the user may have set it to round to ten bits or fewer
        return (self.own(values) * self.rois.mask.flatten(1)).sum(1)

    def defined(self, score: Tensor) -> Tensor:
        """Return scores, (R,) or (R, T), with NaN where none is defined."""
        return score.masked_fill(self.undefined.reshape(-1, *[1] * (score.ndim - 1)), torch.nan)


def one_to_one(heatmap: Tensor, mask: Tensor) -> HeatmapPairs:
    """Return R heatmaps (R, h, w) against R masks (R, H, W), one to one.

    Raises:
        ValueError: If types or shapes do not fit.
    """
    rois = Rois(mask)
    if heatmap.ndim != 3 or len(heatmap) != len(mask):
        raise ValueError(f"Expected `heatmap` of shape ({len(mask)}, h, w) but got {tuple(heatmap.shape)}.")
    return HeatmapPairs(heatmap, rois)


def _running_counts(levels: Tensor, row: Tensor, num_rows: int) -> Tensor:
    """Return how many levels of each row are below 0, 1, ..., 65536, int32 (rows, 65537); levels and rows are int32."""
    counts = torch.zeros(num_rows, NUM_LEVELS + 1, dtype=torch.int32, device=levels.device)
    place = (levels + (row * (NUM_LEVELS + 1) + 1)).flatten()
    counts.view(-1).index_add_(0, place, torch.ones_like(place))
    return counts.cumsum_(1)


def _patches_near(mask: Tensor, tolerance: float, grid: tuple[int, int]) -> Tensor:
    """Return, as bool (R, h, w), which patch centres have a pixel of the ROI within the tolerance.

    In each row of pixels that a disc of that radius touches, one difference of running sums counts the ROI's pixels.
    """
    height, width = mask.shape[1:]
    y, x = (
        ((torch.arange(n, dtype=torch.float32, device=mask.device) + 0.5) * pixels / n).long()
        for n, pixels in zip(grid, (height, width), strict=True)
    )
    if tolerance == 0:
        return mask[:, y[:, None], x]
    tolerance = min(tolerance, math.hypot(height, width))
    offset = torch.arange(-int(tolerance), int(tolerance) + 1)
    reach = (tolerance**2 - offset.double().square()).sqrt().floor().long().to(mask.device)
    offset = offset.to(mask.device)
    row = y[:, None] + offset
    left = (x - reach[:, None]).clamp(0, width)
    right = (x + reach[:, None] + 1).clamp(0, width)
    running = torch.nn.functional.pad(mask.cumsum(2, dtype=torch.int32), (1, 0))
    in_row = running[:, row.clamp(0, height - 1)]  # (R, h, rows of the disc, W + 1)
    index = torch.stack((left, right)).expand(len(mask), grid[0], 2, *left.shape).transpose(2, 3)
    low, high = in_row.unsqueeze(3).expand(-1, -1, -1, 2, -1).gather(4, index).unbind(3)
    inside = ((row >= 0) & (row < height))[None, :, :, None]
    return ((high > low) & inside).any(2)
