"""Data modules that write phantoms on first use and read them as the real data sets are read."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from data_modules.base import License
from data_modules.cbis_ddsm import CBISDDSMDataModule
from data_modules.cbis_ddsm.breast import PrepareBreast
from data_modules.cbis_ddsm.descriptors import Preset as Columns
from data_modules.mimic_cxr import MIMICCXRDataModule
from data_modules.phantoms.breast.layout import write_breast_phantoms
from data_modules.phantoms.chest.labels import LabelNoise
from data_modules.phantoms.chest.layout import write_chest_phantoms
from data_modules.phantoms.chest.phantom import FINDINGS
from data_modules.phantoms.chest.sentences import FLIP_RATE
from data_modules.split import Split


class ChestPhantomDataModule(MIMICCXRDataModule):
    """Synthetic chest radiographs with reports and boxes, in the layout of MIMIC-CXR-JPG.

    Training and validation labels have errors like those of a labeler; test labels are the truth.

    Args:
        root: Folder of the phantoms, written at first use.
        num_train: Training images.
        num_val: Validation images.
        num_test: Test images.
        file_size: Side of the image files in pixels.
        phantom_seed: Seed of the phantoms; the same for all arms and seeds of a study.
        label_noise: Errors of the labels: `random`, determined by the `phrase` of the report, or `none`.
        image_size: Side of the square frame that the network sees, in pixels.
        mean: Mean grey value, in [0, 1], for normalisation.
        std: Standard deviation of grey values.
        cache_images: Keep prepared images in memory after the first read.
        options: Arguments of `MIMICCXRDataModule`.
    """

    license: ClassVar[License] = "synthetic"
    roi_area = 0.05  # the median of the validation images, .054
    roi_union_area = 0.132  # likewise

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
        mean: float = 0.41,
        std: float = 0.18,
        cache_images: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(
            root=root,
            label_names=FINDINGS,
            test_labels="radiologist",
            image_size=image_size,
            mean=mean,
            std=std,
            resize="stretch",
            cache_images=cache_images,
            **options,
        )
        # the published counts are those of the real data set
        self.reader = replace(self.reader, show_published=False)
        self.counts = (num_train, num_val, num_test)
        self.file_size = file_size
        self.phantom_seed = phantom_seed
        self.label_noise = label_noise

    @property
    def marks_absent_labels(self) -> bool:
        """Whether labels of training and validation have errors; regions have none."""
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
        root: Folder of the phantoms, written at first use.
        num_train: Training images, from which the validation set is drawn by patient.
        num_test: Test images.
        file_size: Side of the image files in pixels.
        phantom_seed: Seed of the phantoms; the same for all arms and seeds of a study.
        columns: Privileged columns.
        image_size: Side of the square frame that the network sees, in pixels.
        mean: Mean grey value, in [0, 1], for normalisation.
        std: Standard deviation of grey values.
        cache_images: Keep prepared images in memory after the first read.
        options: Arguments of `CBISDDSMDataModule`.
    """

    license: ClassVar[License] = "synthetic"
    roi_area = 0.02  # the median of the validation images, .018
    roi_union_area = 0.02  # an image has one region

    def __init__(
        self,
        root: Path,
        num_train: int = 4500,
        num_test: int = 1000,
        file_size: int = 128,
        phantom_seed: int = 0,
        columns: Columns = "descriptors_density",
        image_size: int = 64,
        mean: float = 0.2,
        std: float = 0.16,
        cache_images: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(
            root=root,
            abnormality="mass",
            columns=columns,
            val_fraction=1 / 9,  # 500 of 4,500 by default
            breast=PrepareBreast(crop=False),
            image_size=image_size,
            mean=mean,
            std=std,
            resize="stretch",
            cache_images=cache_images,
            **options,
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
