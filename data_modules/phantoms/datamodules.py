"""Data modules that write phantoms on first use and read them as the real data sets are read."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from data_modules.base import License
from data_modules.cbis_ddsm import CBISDDSMDataModule
from data_modules.cbis_ddsm.descriptors import Preset as Columns
from data_modules.images.transforms import Augmentation
from data_modules.mimic_cxr import MIMICCXRDataModule
from data_modules.phantoms.breast.layout import write_breast_phantoms
from data_modules.phantoms.chest.labels import LabelNoise
from data_modules.phantoms.chest.layout import write_chest_phantoms
from data_modules.phantoms.chest.phantom import FINDINGS
from data_modules.phantoms.chest.sentences import FLIP_RATE
from data_modules.split import Split


class ChestPhantomDataModule(MIMICCXRDataModule):
    """Synthetic chest radiographs with reports and boxes, in the layout of MIMIC-CXR-JPG.

    Training and validation labels are noisy as a labeler's are; test labels are the truth.

    Args:
        root: Where the phantoms are written, once.
        num_train: Training images.
        num_val: Validation images.
        num_test: Test images.
        file_size: Side of the image files in pixels.
        phantom_seed: Seed of the phantoms; the same for all arms and seeds of a study.
        label_noise: How labels err: `random`, as a fixed function of the `phrase`, or `none`.
        image_size: Side of the square frame that the network sees, in pixels.
        batch_size: Samples a step and device.
        num_workers: Loader processes; 0 loads in the training process.
        seed: Seed of order and augmentation; the command line sets it to the run's seed.
        mean: Mean grey value, in [0, 1], for normalisation.
        std: Standard deviation of grey values.
        augmentation: Random changes of training images.
        cache_images: Keep prepared images in memory after the first read.
        prepared: Folder that `mmpkd prepare` wrote with the same settings, or None to read the image files.
        max_train_samples: Use only the first so many training samples, or None for all.
    """

    license: ClassVar[License] = "synthetic"
    roi_area = 0.05  # the median of the validation images

    def __init__(
        self,
        root: Path,
        num_train: int = 4000,
        num_val: int = 500,
        num_test: int = 1000,
        file_size: int = 128,
        phantom_seed: int = 0,
        label_noise: LabelNoise = "random",
        image_size: int = 64,
        batch_size: int = 32,
        num_workers: int = 0,
        seed: int = 0,
        mean: float = 0.41,
        std: float = 0.18,
        augmentation: Augmentation | None = None,
        cache_images: bool = True,
        prepared: Path | None = None,
        max_train_samples: int | None = None,
    ) -> None:
        super().__init__(
            root=root,
            label_names=FINDINGS,
            test_labels="radiologist",
            image_size=image_size,
            batch_size=batch_size,
            num_workers=num_workers,
            seed=seed,
            mean=mean,
            std=std,
            resize="stretch",
            augmentation=augmentation,
            cache_images=cache_images,
            prepared=prepared,
            max_train_samples=max_train_samples,
        )
        # phantoms are no part of the data set whose counts were published
        self.reader = replace(self.reader, show_published=False)
        self.counts = (num_train, num_val, num_test)
        self.file_size = file_size
        self.phantom_seed = phantom_seed
        self.label_noise = label_noise

    @property
    def marks_absent_labels(self) -> bool:
        """Labels of training and validation err; regions do not."""
        return self.label_noise != "none"

    def label_note(self, split_name: str) -> str:
        """Say that labels of training and validation err, so that no teacher, however good, agrees with all of them."""
        if split_name == "test" or self.label_noise == "none":
            return ""
        return (
            f"About {FLIP_RATE:.0%} of these labels are wrong on purpose, as an automatic labeler's are; those of the test set "
            "are the truth. So a teacher can be much better on the test set than here."
        )

    def read_splits(self) -> Mapping[str, Split]:
        """Write the phantoms if they are not there, and read them."""
        num_train, num_val, num_test = self.counts
        write_chest_phantoms(
            self.reader.root,
            num_train=num_train,
            num_val=num_val,
            num_test=num_test,
            image_size=self.file_size,
            seed=self.phantom_seed,
            label_noise=self.label_noise,
        )
        return super().read_splits()


class BreastPhantomDataModule(CBISDDSMDataModule):
    """Synthetic mammograms with descriptors and lesion masks, in the layout of CBIS-DDSM.

    Args:
        root: Where the phantoms are written, once.
        num_train: Training images, of which the validation set is taken by patient.
        num_test: Test images.
        file_size: Side of the image files in pixels.
        phantom_seed: Seed of the phantoms; the same for all arms and seeds of a study.
        columns: Privileged columns.
        image_size: Side of the square frame that the network sees, in pixels.
        batch_size: Samples a step and device.
        num_workers: Loader processes; 0 loads in the training process.
        seed: Seed of order and augmentation; the command line sets it to the run's seed.
        mean: Mean grey value, in [0, 1], for normalisation.
        std: Standard deviation of grey values.
        augmentation: Random changes of training images.
        cache_images: Keep prepared images in memory after the first read.
        prepared: Folder that `mmpkd prepare` wrote with the same settings, or None to read the image files.
        max_train_samples: Use only the first so many training samples, or None for all.
    """

    license: ClassVar[License] = "synthetic"
    roi_area = 0.02  # the median of the validation images

    def __init__(
        self,
        root: Path,
        num_train: int = 4500,
        num_test: int = 1000,
        file_size: int = 128,
        phantom_seed: int = 0,
        columns: Columns = "descriptors_density",
        image_size: int = 64,
        batch_size: int = 32,
        num_workers: int = 0,
        seed: int = 0,
        mean: float = 0.2,
        std: float = 0.16,
        augmentation: Augmentation | None = None,
        cache_images: bool = True,
        prepared: Path | None = None,
        max_train_samples: int | None = None,
    ) -> None:
        super().__init__(
            root=root,
            abnormality="mass",
            columns=columns,
            val_fraction=1 / 9,
            crop_breast=False,
            image_size=image_size,
            batch_size=batch_size,
            num_workers=num_workers,
            seed=seed,
            mean=mean,
            std=std,
            resize="stretch",
            augmentation=augmentation,
            cache_images=cache_images,
            prepared=prepared,
            max_train_samples=max_train_samples,
        )
        self.counts = (num_train, num_test)
        self.file_size = file_size
        self.phantom_seed = phantom_seed

    def read_splits(self) -> Mapping[str, Split]:
        """Write the phantoms if they are not there, and read them."""
        num_train, num_test = self.counts
        write_breast_phantoms(
            self.root, num_train=num_train, num_test=num_test, image_size=self.file_size, seed=self.phantom_seed
        )
        return super().read_splits()
