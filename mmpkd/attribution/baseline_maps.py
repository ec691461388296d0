"""Maps that know nothing of the student: run through the same code, they give the chance level of every score."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from data_modules.hashing import MASK, scramble, to_uniform
from mmpkd.attribution.base import AttributionMethod, ClassAttribution, check_labels
from mmpkd.attribution.layout import patch_grid


class AllOnes(AttributionMethod):
    """The same value everywhere: a pointing game in which every point ties, and the whole image as region."""

    name = "all_ones"
    title = "All-ones map"
    sees_student = False

    def __call__(self, student: nn.Module, image: Tensor) -> Tensor:
        """Return ones, (B, h, w); see `AttributionMethod`."""
        return torch.ones(len(image), *_grid(student, image), dtype=torch.float32, device=image.device)


class RandomMap(AttributionMethod):
    """Independent uniform values, fixed by the seed and the image's own content.

    The order of samples, the batch size and the number of devices therefore change nothing.

    Args:
        seed: Another seed gives other maps.
    """

    name = "random"
    title = "Random map"
    sees_student = False

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def __call__(self, student: nn.Module, image: Tensor) -> Tensor:
        """Return values in [0, 1), (B, h, w); see `AttributionMethod`."""
        rows, columns = _grid(student, image)
        bits = image.float().flatten(1).contiguous().view(torch.int32).long() & MASK
        place = scramble(torch.arange(bits.shape[1], device=image.device) + 1)
        content = scramble((bits * place).sum(1) & MASK)
        stream = scramble((content + scramble(torch.tensor(self.seed & MASK, device=image.device))) & MASK)
        cell = torch.arange(rows * columns, device=image.device)
        value = scramble((stream[:, None] + 0x9E3779B9 * (cell + 1)) & MASK)
        return to_uniform(value).reshape(-1, rows, columns)


class CenterGaussian(AttributionMethod):
    """A Gaussian at the centre of the image (Choe et al. 2020, https://arxiv.org/abs/2001.07437, "center baseline").

    Args:
        sigma: Standard deviation as a share of the image's height and width.
    """

    name = "center_gaussian"
    title = "Centre Gaussian"
    sees_student = False

    def __init__(self, sigma: float = 0.25) -> None:
        if not 0 < sigma < math.inf:
            raise ValueError(f"Expected a finite `sigma` > 0 but got {sigma}.")
        self.sigma = sigma

    def __call__(self, student: nn.Module, image: Tensor) -> Tensor:
        """Return values in (0, 1], (B, h, w); see `AttributionMethod`."""
        rows, columns = _grid(student, image)
        y, x = (
            ((torch.arange(n, dtype=torch.float32, device=image.device) + 0.5) / n - 0.5).square()
            for n in (rows, columns)
        )
        return torch.exp(-(y[:, None] + x) / (2 * self.sigma**2)).expand(len(image), rows, columns)


class ImageIntensity(AttributionMethod):
    """The mean brightness of each patch above the darkest one: bright tissue alone."""

    name = "image_intensity"
    title = "Image intensity"
    sees_student = False

    def __call__(self, student: nn.Module, image: Tensor) -> Tensor:
        """Return values >= 0, (B, h, w); see `AttributionMethod`."""
        patches = F.adaptive_avg_pool2d(image.float().mean(1, keepdim=True), _grid(student, image)).squeeze(1)
        return patches - patches.amin((1, 2), keepdim=True)


class MeanRoi(ClassAttribution):
    """The mean ROI of a finding in the validation split: what is known about where findings lie without looking at an image.

    It is learned by `LocalizationMonitor` in validation, kept in the student's checkpoint, and scored in test. A finding that
    had no ROI gets the mean over all findings.
    """

    name = "mean_roi"
    title = "Mean ROI"
    sees_student = False

    def __init__(self) -> None:
        self._mean: Tensor | None = None

    @property
    def is_learned(self) -> bool:
        """Whether there is a mean to show."""
        return self._mean is not None

    def learn(self, total: Tensor, count: Tensor) -> None:
        """Take the mean ROIs.

        Args:
            total: Float (K, h, w), sum over ROIs of the share of each patch that they cover.
            count: Float or int (K,), ROIs of each finding; at least one.
        """
        pooled = total.sum(0) / count.sum()
        own = total / count.clamp(min=1)[:, None, None]
        self._mean = torch.where((count > 0)[:, None, None], own, pooled).float().cpu()

    def state_dict(self) -> dict[str, Tensor]:
        """Return the mean, if there is one, for a checkpoint."""
        return {} if self._mean is None else {"mean": self._mean}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take what `state_dict` returned."""
        self._mean = state.get("mean")

    def of_label(self, student: nn.Module, image: Tensor, label: Tensor) -> Tensor:
        """Return the mean ROI of one finding an image, (B, h, w) in [0, 1]; see `ClassAttribution`."""
        del student
        if self._mean is None:
            raise RuntimeError(
                "Expected mean ROIs but none were learned. Run a validation with LocalizationMonitor first."
            )
        check_labels(label, len(image), len(self._mean))
        return self._mean.to(image.device)[label]


BASELINE_MAPS: tuple[type[AttributionMethod], ...] = (AllOnes, RandomMap, CenterGaussian, ImageIntensity, MeanRoi)


def _grid(student: nn.Module, image: Tensor) -> tuple[int, int]:
    return patch_grid(student, (int(image.shape[-2]), int(image.shape[-1])))
