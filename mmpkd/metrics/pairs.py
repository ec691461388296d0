"""Pairs of heatmaps and regions of interest, with the intermediate results that several localization scores share.

Ranks and thresholds come from integer histograms of 16-bit levels. They are exact and the same on every device.
"""

from functools import cached_property

import torch
from torch import Tensor

from mmpkd.attribution.heatmap import scale_and_constant, upsample
from mmpkd.metrics.patches import patches_near

# 16 bits; since 65535 = 255 x 257, every 257th level is an 8-bit value
NUM_LEVELS = 2**16
TOP_LEVEL = NUM_LEVELS - 1


class Rois:
    """The R regions of interest (ROIs) of b images. Several attributions can be scored against the same object.

    Args:
        mask: Bool (R, H, W).
        image: Int64 (R,), index of the image that each ROI belongs to; ROI i belongs to image i if None.

    Raises:
        ValueError: If types or shapes do not fit.

    Example:
        >>> import torch
        >>> rois = Rois(torch.tensor([[[True, True, True, False]]]))
        >>> rois.num_pixels, rois.area
        (tensor([3]), tensor([0.7500]))
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
        """Height and width in pixels."""
        return int(self.mask.shape[1]), int(self.mask.shape[2])

    @cached_property
    def num_pixels(self) -> Tensor:
        """Int64 (R,), number of pixels inside each ROI."""
        return self.mask.flatten(1).sum(1)

    @cached_property
    def inside_pixels(self) -> tuple[Tensor, Tensor]:
        """Int64 (n,) twice, for the n pixels inside all ROIs: index of the ROI, and of the pixel in its flattened mask."""
        return self.mask.flatten(1).nonzero(as_tuple=True)  # type: ignore[return-value]

    @cached_property
    def area(self) -> Tensor:
        """Float32 (R,), share of the frame: the score of a random map in pointing game, relevance mass and average precision."""
        return self.num_pixels.float() / (self.size[0] * self.size[1])

    @property
    def empty(self) -> Tensor:
        """Bool (R,), whether an ROI has no pixel. Every score is then undefined."""
        return self.num_pixels == 0

    def hit_patches(self, grid: tuple[int, int], tolerance: float) -> Tensor:
        """Return which patch centres lie within a distance of each ROI.

        Args:
            grid: Number of patches (h, w).
            tolerance: Distance in pixels, inclusive.

        Returns:
            Bool (R, h*w).
        """
        key = (tolerance, grid)
        if key not in self._near:
            self._near[key] = patches_near(self.mask, tolerance, grid).flatten(1)
        return self._near[key]


class HeatmapPairs:
    """One heatmap per image, paired with each ROI of that image.

    Args:
        heatmap: Float (b, h, w) on the patch grid.
        rois: ROIs of the b images.

    Attributes:
        undefined: Bool (R,), whether every score is undefined: the ROI is empty, or the heatmap is not finite everywhere.

    Raises:
        ValueError: If the shapes do not fit.

    Example:
        >>> import torch
        >>> rois = Rois(torch.tensor([[[False, True]], [[True, False]]]), image=torch.tensor([0, 0]))
        >>> pairs = HeatmapPairs(torch.tensor([[[1.0, 3.0]]]), rois)  # one heatmap with two ROIs
        >>> pairs.sum_inside(pairs.scaled)
        tensor([1., 0.])
    """

    def __init__(self, heatmap: Tensor, rois: Rois) -> None:
        if heatmap.ndim != 3 or 0 in heatmap.shape[1:]:
            raise ValueError(f"Expected `heatmap` of shape (b, h, w), one per image, but got {tuple(heatmap.shape)}.")
        # one heatmap expanded to all images, as some baseline maps return it, is processed once
        shared = len(heatmap) > 1 and heatmap.stride(0) == 0
        values = _in_float32((heatmap[:1] if shared else heatmap).detach())
        finite = values.isfinite().flatten(1).all(1)
        self.heatmap = torch.where(finite[:, None, None], values, 0.0)
        self.rois = rois
        self.image = torch.zeros_like(rois.image) if shared else rois.image
        self.undefined = rois.empty | ~finite[self.image]

    @cached_property
    def pixels(self) -> Tensor:
        """Float32 (b, H*W) in [-1, 1], interpolated but not scaled to [0, 1]."""
        # divided by the largest magnitude, which keeps sums of large values finite
        largest = self.heatmap.abs().amax((1, 2), keepdim=True).clamp_min(torch.finfo(torch.float32).tiny)
        return upsample(self.heatmap / largest, self.rois.size).flatten(1)

    @cached_property
    def scaled_and_constant(self) -> tuple[Tensor, Tensor]:
        """`scaled` and `constant`, computed in one pass."""
        # scaled before interpolation as well, so that rounding stays small relative to the range of a map with a large offset
        patches, constant = scale_and_constant(self.heatmap)
        scaled, is_constant = scale_and_constant(upsample(patches, self.rois.size))
        return scaled.flatten(1), constant | is_constant

    @property
    def scaled(self) -> Tensor:
        """Float32 (b, H*W) in [0, 1], scaled after interpolation; a constant heatmap is 0 everywhere."""
        return self.scaled_and_constant[0]

    @property
    def constant(self) -> Tensor:
        """Bool (b,), whether a heatmap has one value everywhere, up to rounding."""
        return self.scaled_and_constant[1]

    @cached_property
    def levels(self) -> Tensor:
        """Int32 (b, H*W) in [0, 65535], the scaled heatmap in 16 bits. Values that round to the same level tie."""
        return (self.scaled * TOP_LEVEL).int()

    @cached_property
    def num_pixels_below(self) -> Tensor:
        """Int32 (b, 65537), number of pixels of each heatmap with a level below 0, 1, ..., 65536."""
        row = torch.arange(len(self.levels), dtype=torch.int32, device=self.levels.device)
        return _running_counts(self.levels, row[:, None], len(self.levels))

    @cached_property
    def hit_levels(self) -> Tensor:
        """Int32 (n,), levels of the pixels inside ROIs, in the order of `Rois.inside_pixels`."""
        roi, pixel = self.rois.inside_pixels
        return self.levels.flatten().index_select(0, self.image[roi] * self.levels.shape[1] + pixel)

    @cached_property
    def num_hits_below(self) -> Tensor:
        """Int32 (R, 65537), number of pixels inside each ROI with a level below 0, 1, ..., 65536."""
        return _running_counts(self.hit_levels, self.rois.inside_pixels[0].int(), len(self.rois))

    @cached_property
    def hit_ranks(self) -> tuple[Tensor, Tensor]:
        """Int32 (n,) twice, for each pixel inside an ROI: how many pixels of its heatmap are lower, and how many not higher."""
        roi = self.rois.inside_pixels[0]  # (n,)
        place = self.image[roi] * (NUM_LEVELS + 1) + self.hit_levels
        flat = self.num_pixels_below.flatten()
        return flat.index_select(0, place), flat.index_select(0, place + 1)

    def sum_hits(self, values: Tensor) -> Tensor:
        """Return the sum of integers (n,), one per pixel inside an ROI, over each ROI, int64 (R,)."""
        # differences of running sums of integers are exact on any device
        running = torch.nn.functional.pad(values.long().cumsum(0), (1, 0))
        end = self.rois.num_pixels.cumsum(0)
        return running[end] - running[end - self.rois.num_pixels]

    def num_pixels_from(self, level: Tensor) -> Tensor:
        """Return how many pixels of each ROI's heatmap are at or above a level, int64 (R, T) for levels (R, T)."""
        num_pixels = self.levels.shape[1]
        return num_pixels - self.num_pixels_below[self.image[:, None], level].long()

    def num_hits_from(self, level: Tensor) -> Tensor:
        """Return how many pixels inside each ROI are at or above a level, int64 (R, T) for levels (R, T)."""
        return self.rois.num_pixels[:, None] - self.num_hits_below.gather(1, level).long()

    def expected_hits(self, num_selected: Tensor) -> Tensor:
        """Return how many of the pixels with the largest values are inside each ROI.

        Args:
            num_selected: Int64 (R,), number of pixels to select.

        Returns:
            Float32 (R,). If pixels tie for the last places, the expected value of a random choice among them.
        """
        num_pixels = self.levels.shape[1]
        level = self._level_of_rank(num_pixels - num_selected)  # (R, 1), level of the last pixel that is selected
        num_above = self.num_pixels_from(level + 1)
        num_with_ties = self.num_pixels_from(level)
        num_hits_above = self.num_hits_from(level + 1)
        num_hits_with_ties = self.num_hits_from(level)
        # share of the tied pixels that still fits into the selection
        share = (num_selected[:, None] - num_above).float() / (num_with_ties - num_above).float()
        return (num_hits_above + (num_hits_with_ties - num_hits_above) * share)[:, 0]

    def _level_of_rank(self, rank: Tensor) -> Tensor:
        """Return the level of the pixel at a rank in its heatmap, 0 for the smallest; int64 (R, 1) for ranks (R,)."""
        flat = self.num_pixels_below.flatten()
        first = self.image * (NUM_LEVELS + 1)
        low = torch.zeros_like(rank)
        # bisection: the largest level with at most `rank` pixels below it
        for bit in reversed(range(NUM_LEVELS.bit_length() - 1)):
            middle = low + 2**bit
            low = torch.where(flat.index_select(0, first + middle) <= rank, middle, low)
        return low[:, None]

    def per_roi(self, values: Tensor) -> Tensor:
        """Return the value of each ROI's heatmap, (R, ...) for values of the heatmaps (b, ...)."""
        return values[self.image]

    def sum_inside(self, values: Tensor) -> Tensor:
        """Return the sum of values (b, H*W) inside each ROI, (R,)."""
        # not a matrix product, which may be computed in TF32 or bfloat16
        return (self.per_roi(values) * self.rois.mask.flatten(1)).sum(1)

    def nan_where_undefined(self, score: Tensor) -> Tensor:
        """Return scores, (R,) or (R, T), with NaN where no score is defined."""
        return score.masked_fill(self.undefined.reshape(-1, *[1] * (score.ndim - 1)), torch.nan)


def _in_float32(heatmap: Tensor) -> Tensor:
    """Return heatmaps in float32; those in float64 whose largest magnitude float32 cannot hold are divided by it."""
    if heatmap.dtype != torch.float64:
        return heatmap.float()
    limits = torch.finfo(torch.float32)
    largest = heatmap.abs().amax((1, 2), keepdim=True)
    is_beyond = largest.isfinite() & ((largest > limits.max) | ((largest < limits.tiny) & (largest > 0)))
    return (heatmap / torch.where(is_beyond, largest, 1.0)).float()


def one_to_one(heatmap: Tensor, mask: Tensor) -> HeatmapPairs:
    """Pair heatmap i with ROI i.

    Args:
        heatmap: Float (R, h, w).
        mask: Bool (R, H, W).

    Raises:
        ValueError: If types or shapes do not fit.

    Example:
        >>> import torch
        >>> pairs = one_to_one(torch.rand(2, 1, 2), torch.ones(2, 1, 2, dtype=torch.bool))
        >>> len(pairs.rois)
        2
    """
    rois = Rois(mask)
    if heatmap.ndim != 3 or len(heatmap) != len(mask):
        raise ValueError(f"Expected `heatmap` of shape ({len(mask)}, h, w) but got {tuple(heatmap.shape)}.")
    return HeatmapPairs(heatmap, rois)


def _running_counts(levels: Tensor, row: Tensor, num_rows: int) -> Tensor:
    """Count how many levels of each row are below 0, 1, ..., 65536.

    Args:
        levels: Int32 in [0, 65535], of any shape.
        row: Int32, the row that each level belongs to, broadcast to the shape of the levels.
        num_rows: Number of rows.

    Returns:
        Int32 (num_rows, 65537).
    """
    # one column to the right, since a level is not below itself
    counts = torch.zeros(num_rows, NUM_LEVELS + 1, dtype=torch.int32, device=levels.device)
    place = (levels + (row * (NUM_LEVELS + 1) + 1)).flatten()
    counts.view(-1).index_add_(0, place, torch.ones_like(place))
    return counts.cumsum_(1)
