"""Random augmentation with albumentations, seeded per sample.

albumentations 2.0.8 gives every worker of a DataLoader the same random stream, and repeats it in each epoch. Here, the
stream of a sample depends on (seed, epoch, index) alone, so it is the same for any number of workers and after a resume,
and differs between epochs.
"""

import random
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

# imported where a pipeline is built, so that loader processes without augmentation never wait for it
if TYPE_CHECKING:
    import albumentations as A


@dataclass(frozen=True)
class Augmentation:
    """Random changes of a training image; zero switches one off.

    They have the same meaning in a loader (`SampleTransform`) and on a device (`device_images.augment`): each is drawn
    uniformly and independently of the others. The image is mirrored, then scaled and rotated about its centre, then shifted;
    gaps are filled by repeating the pixels at its border. Grey values are multiplied by the gain, then offset, and stay in
    [0, 1].

    Attributes:
        shift: Largest translation, as a fraction of the side in [0, 1], drawn for each axis; in whole pixels, since
            fractions of a pixel would blur fine structure in training only.
        scale: Largest relative change of size, in [0, 1), the same along both axes, so that proportions stay.
        rotate: Largest rotation in degrees, in [0, 180].
        brightness: Largest offset, as a fraction of the grey range in [0, 1].
        contrast: Largest relative change of gain, in [0, 1].
        horizontal_flip: Probability of a left-right flip. On chest radiographs, laterality is part of a finding.

    Raises:
        ValueError: If a number is out of its range.
    """

    shift: float = 0.0
    scale: float = 0.0
    rotate: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    horizontal_flip: float = 0.0

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            largest = 180 if name == "rotate" else 1
            if not 0 <= value <= largest or (name == "scale" and value == 1):
                end = "1)" if name == "scale" else f"{largest}]"
                raise ValueError(f"Expected augmentation.{name} in [0, {end} but got {value}.")


class SampleTransform:
    """Augments and normalises one prepared image.

    Args:
        augmentation: Random changes, or None at validation and test time.
        mean: Mean of the grey values in [0, 1].
        std: Their standard deviation, > 0.
        seed: Seed of all random streams.
        image_size: Side of the image, for translations in pixels.

    Raises:
        ValueError: If std is not positive.
    """

    def __init__(
        self, augmentation: Augmentation | None, mean: float, std: float, seed: int, image_size: int = 224
    ) -> None:
        if std <= 0:
            raise ValueError(f"Expected a positive standard deviation of grey values but got {std}.")
        self.mean = np.float32(mean)
        self.std = np.float32(std)
        self.seed = seed
        self._augment = None if augmentation is None else build_augmentation(augmentation, image_size)

    def __call__(
        self, image: NDArray[np.float32], epoch: int, index: int, masks: Sequence[NDArray[np.bool_]] = ()
    ) -> tuple[NDArray[np.float32], list[NDArray[np.bool_]]]:
        """Transform one image, and its masks in the same way.

        Args:
            image: Float32 (H, W) in [0, 1].
            epoch: Epoch that the sample is drawn in.
            index: Position of the sample in the split.
            masks: Bool (H, W) each.

        Returns:
            Float32 (1, H, W), normalised, and the masks after the same movement.
        """
        moved = list(masks)
        if self._augment is not None:
            seed = sample_seed(self.seed, epoch, index)
            # One stream for all steps: `set_random_seed` seeds each step alike, so that the shift would determine the gain.
            self._augment.set_random_state(np.random.default_rng(seed), random.Random(seed))
            result = self._augment(image=image, masks=[mask.astype(np.uint8) for mask in masks])
            image = result["image"]
            moved = [np.asarray(mask, dtype=np.bool_) for mask in result["masks"]]
        return np.ascontiguousarray((image - self.mean) / self.std, dtype=np.float32)[None], moved


def sample_seed(seed: int, epoch: int, index: int) -> int:
    """Return a 32-bit seed that depends on all three numbers and on nothing else."""
    return int(np.random.SeedSequence([seed, epoch, index]).generate_state(1)[0])


def build_augmentation(augmentation: Augmentation, image_size: int) -> "A.Compose | None":
    """Build the albumentations pipeline, or None if nothing may change.

    Raises:
        ValueError: If albumentations warns about an argument, which it would then ignore.
    """
    if augmentation == Augmentation():
        return None
    import albumentations as A

    a = augmentation
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            steps: list[A.BasicTransform] = []
            if a.horizontal_flip:
                steps.append(A.HorizontalFlip(p=a.horizontal_flip))
            if a.shift or a.scale or a.rotate:
                steps.append(
                    A.Affine(
                        # whole pixels: see `Augmentation.shift`
                        translate_px=(-round(a.shift * image_size), round(a.shift * image_size)),
                        scale=(1 - a.scale, 1 + a.scale),
                        keep_ratio=True,
                        rotate=(-a.rotate, a.rotate),
                        border_mode=cv2.BORDER_REPLICATE,
                        p=1.0,
                    )
                )
            if a.brightness or a.contrast:
                limits = {"brightness_limit": a.brightness, "contrast_limit": a.contrast}
                steps.append(A.RandomBrightnessContrast(**limits, brightness_by_max=True, p=1.0))
        except UserWarning as warning:
            raise ValueError(f"albumentations does not accept {augmentation}: {warning}") from warning
    return A.Compose(steps)
