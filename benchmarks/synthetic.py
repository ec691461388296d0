"""A data set without files, for benchmarks of whole fits: random images in memory, labels, and validation batches with ROIs."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, IterableDataset

from data_modules.base import License, PrivilegedDataModule
from data_modules.batch import Batch
from data_modules.images.prepared import PreparedMeta
from data_modules.images.transforms import Augmentation
from data_modules.split import Split

NAMES = tuple(f"Finding {k}" for k in range(5))


class RandomImages:
    """Random 8-bit images, in place of `data_modules.images.prepared.PreparedImages`.

    Args:
        num_images: Number of images N.
        side: Height and width in pixels.
    """

    def __init__(self, num_images: int, side: int) -> None:
        self.meta = PreparedMeta(num_images, side, "uint8", "", True)
        self.bytes_per_image = side**2
        self._pixels = np.random.default_rng(0).integers(0, 256, (min(num_images, 256), side, side), np.uint8)

    def __len__(self) -> int:
        return self.meta.num_images

    def read_stored(self, index: int) -> tuple[NDArray[np.uint8], None]:
        """Return one image (side, side) as stored; without regions, nobody asks for its placement."""
        return self._pixels[index % len(self._pixels)], None

    def stored(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return the pixels (n, side, side) of some rows."""
        return self._pixels[rows % len(self._pixels)]


class Repeated(IterableDataset[Batch]):
    """The same batch, so many times.

    Args:
        batch: The batch.
        count: How many times.
    """

    def __init__(self, batch: Batch, count: int) -> None:
        self.batch, self.count = batch, count

    def __iter__(self) -> Iterator[Batch]:
        for _ in range(self.count):
            yield self.batch


class SyntheticDataModule(PrivilegedDataModule):
    """Random images and labels; every second validation image has an ROI.

    Args:
        side: Height and width in pixels.
        batch_size: Samples a step.
        num_batches: Batches of an epoch.
        num_val_batches: Validation batches.
        num_workers: Loader processes.
    """

    license: ClassVar[License] = "synthetic"

    def __init__(
        self, side: int, batch_size: int, num_batches: int, num_val_batches: int, num_workers: int = 0
    ) -> None:
        augmentation = Augmentation(shift=0.05, scale=0.1, rotate=10, contrast=0.1)
        super().__init__(
            NAMES, image_size=side, batch_size=batch_size, num_workers=num_workers, augmentation=augmentation
        )
        self.num_batches, self.num_val_batches = num_batches, num_val_batches

    def read_splits(self) -> Mapping[str, Split]:
        """Return random labels; there are no files."""
        sizes = {"train": self.num_batches * self.batch_size, "val": self.batch_size, "test": self.batch_size}
        return {name: _split(name, size) for name, size in sizes.items()}

    def prepared_images(self, name: str) -> Any:
        """Return random images."""
        return RandomImages(len(self.splits[name]), self.image_size)

    def val_dataloader(self) -> DataLoader[Any]:
        """Return one batch, as often as wanted: what is measured is the device, not the loader."""
        return DataLoader(Repeated(self.val_batch(), self.num_val_batches), batch_size=None)

    def val_batch(self) -> Batch:
        """Return a validation batch."""
        size, side, split = self.batch_size, self.image_size, self.splits["val"]
        with_roi = torch.arange(0, size, 2)
        mask = torch.zeros(len(with_roi), side, side, dtype=torch.bool)
        mask[:, side // 4 : side // 2, side // 4 : side // 2] = True
        return {
            "image": torch.randn(size, 1, side, side, generator=torch.Generator().manual_seed(0)),
            "label": torch.from_numpy(split.label),
            "index": torch.arange(size),
            "sample_id": split.sample_id.tolist(),
            "patient_id": split.patient_id.tolist(),
            "roi_mask": mask,
            "roi_sample": with_roi,
            "roi_label": with_roi % len(NAMES),
        }


def _split(name: str, size: int) -> Split:
    label = np.random.default_rng(1).integers(0, 2, (size, len(NAMES))).astype(np.float32)
    label[:2] = [[0] * len(NAMES), [1] * len(NAMES)]
    names = np.array([f"{name}{i}" for i in range(size)])
    return Split(names, names, [Path()] * size, label, np.ones(size, dtype=np.bool_))
