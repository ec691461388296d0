"""Baseline maps, which do not depend on the student.

The same code scores them as every other map, so they give the level that a student's map has to beat in each score.
"""

import math
from abc import abstractmethod

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from data_modules.images.hashing import MASK, scramble, to_uniform
from mmpkd.attribution.base import AttributionMethod, ClassAttribution, check_labels
from mmpkd.attribution.layout import patch_grid


class AllOnes(AttributionMethod):
    """A map with the same value everywhere: all patches tie in the pointing game, and IoU selects the whole image.

    Example:
        >>> import timm
        >>> model = timm.create_model("vit_tiny_patch16_224", img_size=32, depth=1)
        >>> AllOnes()(model, torch.zeros(1, 3, 32, 32))
        tensor([[[1., 1.],
                 [1., 1.]]])
    """

    name = "all_ones"
    title = "All-ones map"
    is_baseline = True

    def __call__(self, student: nn.Module, image: Tensor) -> Tensor:
        """Return ones, (B, h, w); see `AttributionMethod`."""
        return torch.ones(len(image), *_grid(student, image), dtype=torch.float32, device=image.device)


class RandomMap(AttributionMethod):
    """Independent uniform values, determined by the seed and the pixels of the image.

    They do not depend on the order of samples, the batch size or the number of devices.

    Args:
        seed: Seed of the maps.

    Example:
        >>> import timm
        >>> model = timm.create_model("vit_tiny_patch16_224", img_size=32, depth=1)
        >>> images = torch.stack([torch.zeros(3, 32, 32), torch.ones(3, 32, 32)])
        >>> maps = RandomMap(seed=1)(model, images)
        >>> torch.equal(RandomMap(seed=1)(model, images[1:]), maps[1:])  # whatever else is in the batch
        True
    """

    name = "random"
    title = "Random map"
    is_baseline = True

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def __call__(self, student: nn.Module, image: Tensor) -> Tensor:
        """Return values in [0, 1), (B, h, w); see `AttributionMethod`."""
        rows, columns = _grid(student, image)
        # hash each image from the bits of its pixels and their positions
        bits = image.float().flatten(1).contiguous().view(torch.int32).long() & MASK  # (B, C*H*W)
        place = scramble(torch.arange(bits.shape[1], device=image.device) + 1)  # (C*H*W,)
        content = scramble((bits * place).sum(1) & MASK)  # (B,)
        # a stream of numbers for each image, one per patch; the odd constant is 2^32 divided by the golden ratio
        stream = scramble((content + scramble(torch.full((), self.seed & MASK, device=image.device))) & MASK)  # (B,)
        cell = torch.arange(rows * columns, device=image.device)
        value = scramble((stream[:, None] + 0x9E3779B9 * (cell + 1)) & MASK)  # (B, h*w)
        return to_uniform(value).reshape(-1, rows, columns)


class CenterGaussian(AttributionMethod):
    """A Gaussian at the centre of the image (Choe et al. 2020, https://arxiv.org/abs/2001.07437, "center baseline").

    Args:
        sigma: Standard deviation as a share of the image's height and width.

    Example:
        >>> import timm
        >>> model = timm.create_model("vit_tiny_patch16_224", img_size=32, depth=1)
        >>> CenterGaussian(sigma=0.25)(model, torch.zeros(1, 3, 32, 32))  # exp(-1): one sigma off in both directions
        tensor([[[0.3679, 0.3679],
                 [0.3679, 0.3679]]])
    """

    name = "center_gaussian"
    title = "Center Gaussian"
    is_baseline = True

    def __init__(self, sigma: float = 0.25) -> None:
        if not 0 < sigma < math.inf:
            raise ValueError(f"Expected a finite `sigma` > 0 but got {sigma}.")
        self.sigma = sigma

    def __call__(self, student: nn.Module, image: Tensor) -> Tensor:
        """Return values in (0, 1], (B, h, w); see `AttributionMethod`."""
        rows, columns = _grid(student, image)
        y = _squared_offset(rows, image.device)  # (h,)
        x = _squared_offset(columns, image.device)  # (w,)
        return torch.exp(-(y[:, None] + x) / (2 * self.sigma**2)).expand(len(image), rows, columns)


class ImageIntensity(AttributionMethod):
    """The mean brightness of each patch minus that of the darkest patch, as if bright tissue were relevant.

    Example:
        >>> import timm
        >>> model = timm.create_model("vit_tiny_patch16_224", img_size=32, depth=1)
        >>> image = torch.zeros(1, 3, 32, 32)
        >>> image[:, :, :16, :16] = 0.5
        >>> ImageIntensity()(model, image)
        tensor([[[0.5000, 0.0000],
                 [0.0000, 0.0000]]])
    """

    name = "image_intensity"
    title = "Image intensity"
    is_baseline = True

    def __call__(self, student: nn.Module, image: Tensor) -> Tensor:
        """Return values >= 0, (B, h, w); see `AttributionMethod`."""
        patches = F.adaptive_avg_pool2d(image.float().mean(1, keepdim=True), _grid(student, image)).squeeze(1)
        return patches - patches.amin((1, 2), keepdim=True)


class LearnedMap(AttributionMethod):
    """A baseline map that `LocalizationMonitor` learns from the regions of interest (ROIs) of the validation split.

    It is saved in the student's checkpoint and scored in test.

    Example:
        >>> class SumOfRois(LearnedMap):
        ...     def mean_of(self, total, num_rois):
        ...         return total.sum(0)
        ...     def __call__(self, student, image):
        ...         return self.mean.expand(len(image), -1, -1)
        >>> method = SumOfRois()
        >>> method.learn(torch.tensor([[[3.0, 0.0]], [[0.0, 1.0]]]), torch.tensor([3, 1]))
        >>> method(nn.Identity(), torch.zeros(1, 1, 8, 16))
        tensor([[[3., 1.]]])
    """

    is_baseline = True

    def __init__(self) -> None:
        self._mean: Tensor | None = None

    @property
    def is_learned(self) -> bool:
        """Whether a map was learned or loaded."""
        return self._mean is not None

    @property
    def mean(self) -> Tensor:
        """The learned map, float32, on the CPU.

        Raises:
            RuntimeError: If nothing was learned.
        """
        if self._mean is None:
            raise RuntimeError(
                "Expected mean ROIs but none were learned. Run a validation with LocalizationMonitor first."
            )
        return self._mean

    def learn(self, total: Tensor, num_rois: Tensor) -> None:
        """Learn from the ROIs of a validation.

        Args:
            total: Float (K, h, w), sum over the ROIs of each finding of the share of each patch that they cover.
            num_rois: Float or int (K,), number of ROIs of each finding, not all 0.
        """
        self._mean = self.mean_of(total, num_rois).float().cpu()

    @abstractmethod
    def mean_of(self, total: Tensor, num_rois: Tensor) -> Tensor:
        """Return the map to keep, from the arguments of `learn`."""

    def state_dict(self) -> dict[str, Tensor]:
        """Return the learned map for a checkpoint; empty if nothing was learned."""
        return {} if self._mean is None else {"mean": self._mean}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Load a map that `state_dict` returned."""
        self._mean = state.get("mean")


class MeanRoi(LearnedMap, ClassAttribution):
    """The mean ROI of a finding in the validation split: where the finding usually lies, whatever the image shows.

    A finding without any ROI gets the mean over all ROIs. This is the baseline map for attributions that are specific to a
    finding.

    Example:
        >>> import torch
        >>> method = MeanRoi()
        >>> method.learn(torch.tensor([[[3.0, 0.0]], [[0.0, 1.0]]]), torch.tensor([3, 1]))
        >>> method.of_label(nn.Identity(), torch.zeros(1, 1, 8, 16), torch.tensor([1]))
        tensor([[[0., 1.]]])
    """

    name = "mean_roi"
    title = "Mean ROI"

    def mean_of(self, total: Tensor, num_rois: Tensor) -> Tensor:
        """Return the mean ROI of each finding, (K, h, w)."""
        own = total / num_rois.clamp(min=1)[:, None, None]
        return torch.where((num_rois > 0)[:, None, None], own, _mean_of_all(total, num_rois))

    def of_label(self, student: nn.Module, image: Tensor, label: Tensor) -> Tensor:
        """Return the mean ROI of one finding per image, (B, h, w) in [0, 1]; see `ClassAttribution`."""
        del student
        check_labels(label, len(image), len(self.mean))
        return self.mean.to(image.device)[label]


class MeanRoiAll(LearnedMap):
    """The mean ROI of all findings in the validation split: where findings usually lie, whatever the image shows.

    Each ROI counts once, whatever its finding. This is the baseline map for attributions that are the same for all findings.

    Example:
        >>> import torch
        >>> method = MeanRoiAll()
        >>> method.learn(torch.tensor([[[3.0, 0.0]], [[0.0, 1.0]]]), torch.tensor([3, 1]))
        >>> method(nn.Identity(), torch.zeros(1, 1, 8, 16))
        tensor([[[0.7500, 0.2500]]])
    """

    name = "mean_roi_all"
    title = "Mean ROI of all findings"

    def mean_of(self, total: Tensor, num_rois: Tensor) -> Tensor:
        """Return the mean over the ROIs of all findings, (h, w)."""
        return _mean_of_all(total, num_rois)

    def __call__(self, student: nn.Module, image: Tensor) -> Tensor:
        """Return the mean ROI, (B, h, w) in [0, 1]; see `AttributionMethod`."""
        del student
        return self.mean.to(image.device).expand(len(image), -1, -1)


BASELINE_MAPS: tuple[type[AttributionMethod], ...] = (
    AllOnes,
    RandomMap,
    CenterGaussian,
    ImageIntensity,
    MeanRoi,
    MeanRoiAll,
)


def _mean_of_all(total: Tensor, num_rois: Tensor) -> Tensor:
    """Return the mean over the ROIs of all findings, (h, w)."""
    return total.sum(0) / num_rois.sum()


def _grid(student: nn.Module, image: Tensor) -> tuple[int, int]:
    return patch_grid(student, (int(image.shape[-2]), int(image.shape[-1])))


def _squared_offset(num_patches: int, device: torch.device) -> Tensor:
    """Return the squared distances (n,) of n patch centres from the middle, in units of the image's side."""
    center = (torch.arange(num_patches, dtype=torch.float32, device=device) + 0.5) / num_patches
    return (center - 0.5).square()
