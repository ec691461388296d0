"""The base class of all data modules: loaders over the splits that a data set provides."""

import math
import os
from typing import Any, ClassVar, Literal

import cv2
import numpy as np
import torch
from lightning.pytorch.trainer.states import TrainerStatus
from lightning.pytorch.utilities.model_helpers import is_overridden
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Sampler

from data_modules.batch import Sample, collate
from data_modules.dataset import PrivilegedDataset
from data_modules.images.device_images import augment
from data_modules.images.stored_pixels import grey_values
from data_modules.images.transforms import Augmentation, SampleTransform
from data_modules.processes.processors import num_processors
from data_modules.samplers import EpochSampler, Key, RowSampler
from data_modules.splits import SplitDataModule, check_least

License = Literal["credentialed", "open", "synthetic"]
# the epoch that a training begins in, and how many of its samples were served before
_START = (0, 0)
# what a batch comes from and passes on its way to the device, by split
_LOADERS = {
    "train": ("train_dataloader",),
    "val": ("val_dataloader",),
    "test": ("test_dataloader", "predict_dataloader"),
}
_ON_THE_WAY = ("dataset", "on_before_batch_transfer", "transfer_batch_to_device")


class PrivilegedDataModule(SplitDataModule):
    """Loaders with a deterministic, resumable order over the splits that a reader returns.

    A subclass implements `read_splits` and sets `license`. It states the arguments of its own data set and hands all others on.

    Args:
        label_names: Names of the K labels, in the order of the columns; they differ in more than case, spaces and underscores.
        batch_size: Samples a batch over all training processes: each of W processes takes batch_size / W of them, so that more
            GPUs train the same student. Gradient accumulation multiplies it.
        num_workers: Loader processes of each training process, but at most as many as it may use processors; 0 loads in the
            training process.
        seed: Seed of order and augmentation; the command line sets it to the run's seed.
        mean: Mean grey value, in [0, 1], for normalisation.
        std: Standard deviation of grey values.
        augmentation: Random changes of training images.
        cache_images: Keep prepared images in memory after the first read, once for all loader processes.
        options: Arguments of `SplitDataModule`.

    Raises:
        ValueError: If a number is out of its range.
    """

    license: ClassVar[License] = "credentialed"
    # share of the frame that a typical region covers; `iou_top_area` selects that share of a map
    roi_area: float = 0.1
    # share that the union of an image's regions takes, or None for that of one region: what it selects where unions are scored
    roi_union_area: float | None = None
    in_chans: ClassVar[int] = 1

    def __init__(
        self,
        label_names: tuple[str, ...],
        *,
        batch_size: int = 32,
        num_workers: int = 0,
        seed: int = 0,
        mean: float = 0.5,
        std: float = 0.25,
        augmentation: Augmentation | None = None,
        cache_images: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(label_names, **options)
        check_least("batch_size", batch_size, 1)
        check_least("num_workers", num_workers, 0)
        # values on a scale from 0 to 255 are the usual mistake
        if not 0 <= mean <= 1 or not 0 < std <= 1:
            raise ValueError(
                f"Expected data.mean in [0, 1] and data.std in (0, 1], of grey values in [0, 1], but got {mean} and {std}."
            )
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.seed = seed
        self.mean = mean
        self.std = std
        self.augmentation = augmentation
        self.cache_images = cache_images
        # set by a callback that adds the training images to the batch itself
        self.images_elsewhere = False
        # set by a callback that wants training images as stored, and augmented on their way to the trainer
        self.augments_on_device = False
        self._serves_stored = False
        self._start = _START
        self._start_batch = 0

    def setup(self, stage: str) -> None:
        """Read and check the splits before any long work starts."""
        if stage == "fit":
            # Forget where an earlier fit resumed. Lightning restores the position of a checkpoint after this hook.
            self._start = _START
            self.check_batch_size(self._rank()[1])
        cv2.setNumThreads(0)
        super().setup(stage)

    def check_batch_size(self, world_size: int) -> None:
        """Check that training processes can share a batch equally.

        Args:
            world_size: Number of training processes.

        Raises:
            ValueError: If they cannot.
        """
        if self.batch_size % world_size:
            lower = self.batch_size // world_size * world_size
            near = " or ".join(str(size) for size in (lower, lower + world_size) if size)
            raise ValueError(
                f"Expected data.batch_size to be a multiple of {world_size}, the number of training processes, which share each "
                f"batch, but got {self.batch_size}. Set it to {near}, or change trainer.devices."
            )

    def dataset(self, name: str, load_images: bool, load_privileged: bool) -> PrivilegedDataset:
        """Return one split as a data set of normalised images; only the training split is augmented."""
        augmentation = self.augmentation if name == "train" and load_images else None
        return PrivilegedDataset(
            self.splits[name],
            SampleTransform(augmentation, self.mean, self.std, self.seed, self.image_size),
            self.preparation,
            load_images,
            load_privileged,
            self.cache_images,
            self.prepared_images(name) if load_images else None,
        )

    def _loaded(self, name: str, load_images: bool, load_privileged: bool) -> PrivilegedDataset:
        """Return one split as it is loaded: as stored if a trainer asks, which normalises its batches on the device."""
        dataset = self.dataset(name, load_images, load_privileged)
        is_changed = name == "train" and self.augmentation not in (None, Augmentation())
        # augmentation gives floats, which would have to be rounded
        can_wait = self.augments_on_device or not is_changed
        if can_wait and dataset.prepared is not None and self._normalises_later(name):
            dataset.as_stored = self._serves_stored = True
        return dataset

    def _normalises_later(self, name: str) -> bool:
        """Return whether a trainer takes images of a split to the device past no code that expects normalised ones."""
        trainer = self.trainer
        if trainer is None or trainer.state.status != TrainerStatus.RUNNING:
            return False
        on_the_way = (*_LOADERS[name], *_ON_THE_WAY)
        is_own = any(is_overridden(method, self, PrivilegedDataModule) for method in on_the_way)
        return not is_own and not is_overridden("on_before_batch_transfer", trainer.lightning_module)

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Move a batch to a device, and there normalise images that come as stored."""
        batch = super().transfer_batch_to_device(batch, device, dataloader_idx)
        image = batch.get("image") if isinstance(batch, dict) else None
        if self.trainer is None or image is None or image.is_floating_point() or not self._serves_stored:
            return batch
        image = grey_values(image)  # (B, 1, H, W), new
        if self.trainer.training and self.augments_on_device and self.augmentation is not None:
            image = augment(image, self.augmentation, self.seed, self.trainer.current_epoch, batch["index"])
        # Lightning has already converted the rest of the batch to the precision of the run
        image = self.trainer.precision_plugin.convert_input(image.sub_(self.mean).div_(self.std))
        return {**batch, "image": image}

    def train_dataloader(self) -> DataLoader[Sample]:
        """Return the shuffled training loader; after a resume, it continues where the checkpoint stopped."""
        # ranks share one order, and each takes its part of it
        dataset = self._loaded("train", self.load_images and not self.images_elsewhere, self.load_privileged)
        epoch, samples = self._start
        rank, world_size = self._rank()
        if world_size > 1 and len(dataset) < self.batch_size:
            raise ValueError(
                f"Expected at least a batch of {self.batch_size} training samples for {world_size} processes but got "
                f"{len(dataset)}. Choose a smaller data.batch_size, or one process."
            )
        own_batch = self._own_batch_size
        sampler = EpochSampler(len(dataset), self.seed, True, epoch, samples, rank, world_size, own_batch)
        self._start_batch = self._num_batches(len(sampler)) - self._num_batches(sampler.num_left)
        return self._loader(dataset, sampler, own_batch)

    @property
    def _own_batch_size(self) -> int:
        """Samples of a batch that this process takes; an evaluation may have more processes than a batch has samples."""
        return max(1, self.batch_size // self._rank()[1])

    def _num_batches(self, num_samples: int) -> int:
        return math.ceil(num_samples / self._own_batch_size)

    def count_resumed_batches(self) -> None:
        """Tell the trainer how many batches of a resumed epoch are done.

        The trainer counts batches, but the checkpoint may come from a training with another batch size or number of
        processes, so the count is derived from the samples. Call this when a training starts.
        """
        if self.trainer is None:
            return
        current = self.trainer.fit_loop.epoch_loop.batch_progress.current
        change = self._start_batch - current.processed  # type: ignore[attr-defined]
        if self._start[1] and change:
            current.increment_by(change)

    def val_dataloader(self) -> DataLoader[Sample]:
        """Return the validation loader."""
        return self._evaluation("val", self.load_privileged)

    def test_dataloader(self) -> DataLoader[Sample]:
        """Return the test loader."""
        return self._evaluation("test", self.load_privileged)

    def predict_dataloader(self) -> DataLoader[Sample]:
        """Return the test split without privileged input, as at deployment."""
        return self._evaluation("test", False)

    def privileged_dataloader(self, name: str, rows: NDArray[np.int64] | None = None) -> DataLoader[Sample]:
        """Return one split in order, or some rows of it, with privileged input only: no image is decoded."""
        dataset = self.dataset(name, False, True)
        sampler: Sampler[Key] = EpochSampler(len(dataset), shuffle=False)
        if rows is not None:
            sampler = RowSampler(rows)
        # of the same samples on any number of processes: what is padded to the longest text of a batch stays the same
        return self._loader(dataset, sampler, self.batch_size)

    def _evaluation(self, name: str, load_privileged: bool) -> DataLoader[Sample]:
        dataset = self._loaded(name, self.load_images, load_privileged)
        rank, world_size = self._rank()
        sampler = EpochSampler(len(dataset), shuffle=False, rank=rank, world_size=world_size)
        return self._loader(dataset, sampler, self._own_batch_size)

    def _loader(self, dataset: PrivilegedDataset, sampler: Sampler[Key], batch_size: int) -> DataLoader[Sample]:
        # more would wait for each other, on a small machine or beside other runs of a study
        num_workers = min(self.num_workers, num_processors()) if self.num_workers else 0
        return DataLoader(
            dataset,
            batch_size=batch_size,
            sampler=sampler,
            num_workers=num_workers,
            collate_fn=collate,
            pin_memory=self.trainer is not None and self.trainer.strategy.root_device.type == "cuda",
            persistent_workers=num_workers > 0,
            worker_init_fn=_single_thread,
            # Each loader draws a seed for its workers, by default from the global generator: dropout would depend on it.
            generator=torch.Generator().manual_seed(self.seed),
        )

    def _rank(self) -> tuple[int, int]:
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer is not None else (0, 1)

    def state_dict(self) -> dict[str, Any]:
        """Return the position in the training data: the epoch, and how many of its samples all processes have served."""
        if self.trainer is None:
            return {}
        loop = self.trainer.fit_loop
        epoch = self.trainer.current_epoch
        batch: int = loop.epoch_loop.batch_progress.current.processed  # type: ignore[attr-defined]
        # the epoch is finished but not yet counted: resume at the next one
        if batch >= loop.max_batches:
            return {"epoch": epoch + 1, "samples": 0}
        start_epoch, start = self._start
        # in a resumed epoch, batches count from those that were derived from the samples
        before, first = (start, self._start_batch) if epoch == start_epoch else (0, 0)
        return {"epoch": epoch, "samples": before + (batch - first) * self._own_batch_size * self.trainer.world_size}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue at a saved position; Lightning calls this before it builds the loaders."""
        self._start = (state_dict["epoch"], state_dict["samples"])


def _single_thread(worker: int) -> None:
    """Keep a worker on one core; otherwise image libraries start a thread per core in every worker."""
    del worker
    cv2.setNumThreads(0)
    os.environ["OMP_NUM_THREADS"] = "1"
