"""The data module that every data set shares; a data set adds a reader that returns splits."""

import math
import os
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import cv2
import numpy as np
import torch
from lightning.pytorch import LightningDataModule
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Sampler

from data_modules.batch import Sample, collate
from data_modules.dataset import PrivilegedDataset
from data_modules.forms import PrivilegedForm
from data_modules.frames import check_frames
from data_modules.images.geometry import Resize
from data_modules.images.image_file import GreyRange
from data_modules.images.preparation import Preparation, Preprocess
from data_modules.images.prepared import PreparedImages
from data_modules.images.transforms import Augmentation, SampleTransform
from data_modules.labels import check_label_names
from data_modules.samplers import EpochSampler, Key, RowSampler
from data_modules.split import Split, check_disjoint_patients, patient_folds

License = Literal["credentialed", "open", "synthetic"]
# the epoch that a training begins in, and the samples of it that were served before
_START = (0, 0)


class PrivilegedDataModule(LightningDataModule):
    """Loaders with a deterministic, resumable order over the splits that a reader returns.

    A subclass implements `read_splits` and sets `license`.

    Args:
        label_names: Names of the K labels, in the order of the columns; they differ in more than case, spaces and underscores.
        image_size: Side of the square frame that the network sees, in pixels.
        batch_size: Samples a step and device.
        num_workers: Loader processes; 0 loads in the training process.
        seed: Seed of order and augmentation; the command line sets it to the run's seed.
        mean: Mean grey value, in [0, 1], for normalisation.
        std: Standard deviation of grey values.
        resize: `stretch` to the square frame, or `pad` to keep the aspect ratio.
        augmentation: Random changes of training images.
        load_images: Whether to read images and ROIs; None asks the module that is trained (`needs_images`).
        load_privileged: Whether to serve reports and tables, never at predict time; None asks the module that is trained
            (`needs_privileged`).
        cache_images: Keep prepared images in memory after the first read, once for all loader processes.
        max_train_samples: Use only the first so many training samples, or None for all.
        grey_range: What becomes 0 and 1 in DICOM and 16 bit files: the extremes of each image (`observed`), or the ends
            of the range that the file declares (`declared`).
        prepared: Folder that `mmpkd prepare` wrote with the same settings, to read images from instead of their files, or
            None. Images that could not be prepared are left out, and counted.
    """

    license: ClassVar[License] = "credentialed"
    # share of the frame that a typical region takes: what `iou_top_area` selects of a map
    roi_area: float = 0.1
    in_chans: ClassVar[int] = 1
    expected_splits: ClassVar[tuple[str, ...]] = ("train", "val", "test")
    # where labels are named, and what decides which samples there are, for messages
    label_setting: ClassVar[str] = "data.label_names"
    source_settings: ClassVar[str] = "data.root"

    def __init__(
        self,
        label_names: tuple[str, ...],
        image_size: int = 224,
        batch_size: int = 32,
        num_workers: int = 0,
        seed: int = 0,
        mean: float = 0.5,
        std: float = 0.25,
        resize: Resize = "stretch",
        augmentation: Augmentation | None = None,
        load_images: bool | None = None,
        load_privileged: bool | None = None,
        cache_images: bool = False,
        max_train_samples: int | None = None,
        grey_range: GreyRange = "observed",
        prepared: Path | None = None,
    ) -> None:
        super().__init__()
        check_label_names(label_names, self.label_setting)
        self.label_names = tuple(label_names)
        self.image_size = image_size
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.seed = seed
        self.mean = mean
        self.std = std
        self.resize = resize
        self.augmentation = augmentation
        self._load_images = load_images
        self._load_privileged = load_privileged
        self.cache_images = cache_images
        self.max_train_samples = max_train_samples
        self.grey_range: GreyRange = grey_range
        self.prepared = None if prepared is None else Path(prepared)
        self._splits: Mapping[str, Split] | None = None
        self._id_key: str | None = None
        self._file_ids: Mapping[str, NDArray[np.str_]] = {}
        self._start = _START
        self._start_batch = 0
        self._form: PrivilegedForm | None = None
        self._held_out: tuple[int, int] | None = None
        # training images that a callback adds to the batch
        self.images_elsewhere = False
        least = {"image_size": 1, "batch_size": 1, "num_workers": 0, "max_train_samples": 1}
        for name, smallest in least.items():
            value = getattr(self, name)
            if value is not None and value < smallest:
                raise ValueError(f"Expected data.{name} of at least {smallest} but got {value}.")
        # a mean and a deviation on the scale from 0 to 255 are the usual mistake
        if not 0 <= mean <= 1 or not 0 < std <= 1:
            raise ValueError(
                f"Expected data.mean in [0, 1] and data.std in (0, 1], of grey values in [0, 1], but got {mean} and {std}."
            )

    @property
    def num_classes(self) -> int:
        """Number of labels K."""
        return len(self.label_names)

    @property
    def load_images(self) -> bool:
        """Whether images and ROIs are read."""
        return self._asked("needs_images") if self._load_images is None else self._load_images

    @property
    def load_privileged(self) -> bool:
        """Whether reports and tables are served."""
        return self._asked("needs_privileged") if self._load_privileged is None else self._load_privileged

    def _asked(self, name: str) -> bool:
        module = None if self.trainer is None else self.trainer.lightning_module
        return bool(getattr(module, name, True))

    @abstractmethod
    def read_splits(self) -> Mapping[str, Split]:
        """Read the rows of `train`, `val` and `test`; images are not opened.

        Returns:
            The splits. Patients are in one split only, and the training split has no ROIs.
        """

    def preprocess(self) -> Preprocess | None:
        """Return what is done to an image before it is resized; nothing by default."""
        return None

    @property
    def preparation(self) -> Preparation:
        """How image files are brought into the frame of the network."""
        return Preparation(self.image_size, self.resize, self.grey_range, self.preprocess())

    @property
    def splits(self) -> Mapping[str, Split]:
        """The splits, read at first use and checked.

        Raises:
            ImageReadError: If regions cannot be placed on the image files.
            ValueError: If a split is missing or empty, patients are shared, or training samples carry ROIs.
        """
        if self._splits is None:
            splits = dict(self.read_splits())
            if self.prepared is not None:
                splits = {name: self._readable(split, self.prepared) for name, split in splits.items()}
            self._check(splits)
            if self.max_train_samples is not None and self.max_train_samples < len(splits.get("train", ())):
                splits["train"] = splits["train"].take(np.arange(self.max_train_samples))
            if self._form is not None:
                splits = self._form(splits)
            if self._held_out is not None:
                fold, num_folds = self._held_out
                folds = patient_folds(splits["train"].patient_id, num_folds)
                splits["train"] = splits["train"].take(np.flatnonzero(folds != fold))
            if self._id_key is not None:
                self._file_ids = {name: split.sample_id for name, split in splits.items()}
                splits = {name: split.with_hashed_ids(self._id_key) for name, split in splits.items()}
            self._splits = splits
        return self._splits

    @property
    def marks_absent_labels(self) -> bool:
        """Whether a region of a label that is 0 is to be expected, such as that of a benign lesion, and no mistake."""
        return False

    def label_note(self, split_name: str) -> str:
        """Return what is known about errors of the labels of a split, as a sentence, or "" if nothing is.

        Args:
            split_name: `train`, `val` or `test`.
        """
        del split_name
        return ""

    def serve(self, load_images: bool, load_privileged: bool) -> None:
        """Say what is read, instead of asking the module that is trained. To be called before the splits are read."""
        self._load_images = load_images
        self._load_privileged = load_privileged

    def use_form(self, form: PrivilegedForm) -> None:
        """Give the privileged information another form. To be called before the splits are read."""
        self._form = form

    def hash_ids(self, key: str) -> None:
        """Replace identifiers of samples and patients by keyed hashes. To be called before the splits are read."""
        self._id_key = key

    @property
    def privileged_part(self) -> str:
        """Which part of the privileged information is served, for the record: empty if the data set has one part only."""
        return ""

    def hold_out(self, fold: int, num_folds: int) -> None:
        """Leave one of several folds of patients out of the training split. To be called before the splits are read.

        Raises:
            ValueError: If there is no such fold.
        """
        if not 0 <= fold < num_folds:
            raise ValueError(f"Expected a fold in [0, {num_folds - 1}] but got {fold}.")
        self._held_out = (fold, num_folds)

    def _readable(self, split: Split, folder: Path) -> Split:
        """Leave out the samples whose images could not be prepared."""
        readable = self._prepared_images(split, folder).readable
        counts = {**split.counts, "dropped_unreadable_images": int((~readable).sum())}
        return replace(split if readable.all() else split.take(np.flatnonzero(readable)), counts=counts)

    def _prepared_images(self, split: Split, folder: Path) -> PreparedImages:
        return PreparedImages(folder, self.preparation, split.sample_id, split.image)

    def prepared_images(self, name: str) -> PreparedImages | None:
        """Return the prepared images of a split, or None if there are none."""
        if self.prepared is None:
            return None
        split = self.splits[name]
        # images were prepared under their own identifiers
        return self._prepared_images(replace(split, sample_id=self._file_ids.get(name, split.sample_id)), self.prepared)

    def _check(self, splits: Mapping[str, Split]) -> None:
        missing = [name for name in self.expected_splits if not len(splits.get(name, ()))]
        if missing:
            expected = ", ".join(self.expected_splits)
            raise ValueError(f"Expected samples in {expected} but {missing} have none. Check {self.source_settings}.")
        if "train" in splits and splits["train"].rois:
            raise ValueError("Expected no ROI in the training split: localization would no longer be zero-shot.")
        for name, split in splits.items():
            if split.label.shape[1] != self.num_classes:
                raise ValueError(
                    f"Expected {self.num_classes} labels {list(self.label_names)} but split '{name}' has "
                    f"{split.label.shape[1]} columns."
                )
        check_disjoint_patients(splits)
        if self.load_images:
            for split in splits.values():
                check_frames(split)

    def setup(self, stage: str) -> None:
        """Read and check the splits before any long work starts."""
        if stage == "fit":
            # a position that an earlier fit went on from is no longer one; a checkpoint is loaded after this
            self._start = _START
        cv2.setNumThreads(0)
        _ = self.splits

    def data_report(self) -> dict[str, dict[str, int]]:
        """Return what each split holds and what its reader dropped, for the report."""
        return {
            name: {
                "samples": len(split),
                "patients": len(set(split.patient_id.tolist())),
                "with_privileged": int(split.has_privileged.sum()),
                "with_roi": len(split.rois),
                **split.counts,
            }
            for name, split in self.splits.items()
        }

    def dataset(self, name: str, load_images: bool, load_privileged: bool) -> PrivilegedDataset:
        """Return one split as a data set; only the training split is augmented."""
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

    def train_dataloader(self) -> DataLoader[Sample]:
        """Return the shuffled training loader, at the position that a resumed checkpoint left."""
        dataset = self.dataset("train", self.load_images and not self.images_elsewhere, self.load_privileged)
        epoch, samples = self._start
        rank, world_size = self._rank()
        sampler = EpochSampler(len(dataset), self.seed, True, epoch, samples, rank, world_size, self.batch_size)
        self._start_batch = self._num_batches(len(sampler)) - self._num_batches(sampler.num_left)
        return self._loader(dataset, sampler)

    def _num_batches(self, num_samples: int) -> int:
        return math.ceil(num_samples / self.batch_size)

    def count_resumed_batches(self) -> None:
        """Tell the trainer how many batches of the present size the samples make that a resumed epoch has served already.

        To be called when a training starts, since the trainer counts batches, and a checkpoint may be from a training with
        another batch size or another number of processes.
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
        return self._loader(dataset, sampler)

    def _evaluation(self, name: str, load_privileged: bool) -> DataLoader[Sample]:
        dataset = self.dataset(name, self.load_images, load_privileged)
        rank, world_size = self._rank()
        sampler = EpochSampler(len(dataset), shuffle=False, rank=rank, world_size=world_size)
        return self._loader(dataset, sampler)

    def _loader(self, dataset: PrivilegedDataset, sampler: Sampler[Key]) -> DataLoader[Sample]:
        return DataLoader(
            dataset,
            batch_size=self.batch_size,
            sampler=sampler,
            num_workers=self.num_workers,
            collate_fn=collate,
            pin_memory=self.trainer is not None and self.trainer.strategy.root_device.type == "cuda",
            persistent_workers=self.num_workers > 0,
            worker_init_fn=_single_thread,
            # a loader draws a seed for its workers, by default from the generator that dropout uses
            generator=torch.Generator().manual_seed(self.seed),
        )

    def _rank(self) -> tuple[int, int]:
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer is not None else (0, 1)

    def state_dict(self) -> dict[str, Any]:
        """Return the position in the training data: the epoch and the samples of it that all processes have served."""
        if self.trainer is None:
            return {}
        loop = self.trainer.fit_loop
        epoch = self.trainer.current_epoch
        batch: int = loop.epoch_loop.batch_progress.current.processed  # type: ignore[attr-defined]
        if batch >= loop.max_batches:
            return {"epoch": epoch + 1, "samples": 0}
        start_epoch, start = self._start
        before, first = (start, self._start_batch) if epoch == start_epoch else (0, 0)
        return {"epoch": epoch, "samples": before + (batch - first) * self.batch_size * self.trainer.world_size}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue at a saved position; Lightning calls this before it builds the loaders."""
        self._start = (state_dict["epoch"], state_dict["samples"])


def _single_thread(worker: int) -> None:
    """Keep one worker on one core: image libraries start a thread per core in every worker otherwise."""
    del worker
    cv2.setNumThreads(0)
    os.environ["OMP_NUM_THREADS"] = "1"
