"""The splits of a data module: read once, checked, and reduced to what a run may see."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
from lightning.pytorch import LightningDataModule
from numpy.typing import NDArray

from data_modules.forms import PrivilegedForm
from data_modules.frames import check_frames
from data_modules.images.geometry import Resize
from data_modules.images.image_file import GreyRange
from data_modules.images.preparation import Preparation, Preprocess
from data_modules.images.prepared import PreparedImages
from data_modules.labels import check_label_names
from data_modules.split import Split, Splits, check_disjoint_patients, expected_splits, patient_folds

# what a stage needs beyond the test split
_OF_STAGE = {"fit": ("train", "val"), "validate": ("val",)}


class SplitDataModule(LightningDataModule):
    """The samples of a data set and the frame in which their images are seen; `PrivilegedDataModule` adds the loaders.

    Args:
        label_names: Names of the K labels, in the order of the columns; they differ in more than case, spaces and underscores.
        image_size: Side of the square frame that the network sees, in pixels.
        resize: `stretch` to the square frame, or `pad` to keep the aspect ratio.
        grey_range: What becomes 0 and 1 in DICOM and 16 bit files: the extremes of each image (`observed`), or the ends
            of the range that the file declares (`declared`).
        prepared: Folder that `mmpkd prepare` wrote with the same settings, to read images from instead of their files, or
            None. Images that could not be prepared are left out, and counted.
        load_images: Whether to read images and ROIs; None asks the module that is trained (`needs_images`).
        load_privileged: Whether to serve reports and tables, never at predict time; None asks the module that is trained
            (`needs_privileged`).
        max_train_samples: Use only this many training samples, from the first on; None for all.

    Raises:
        ValueError: If label names are not distinct, or a number is below its minimum.
    """

    # for messages: the setting that names the labels, and those that decide which samples there are
    label_setting: ClassVar[str] = "data.label_names"
    source_settings: ClassVar[str] = "data.root"
    # whether there is meant to be nothing to train on
    only_tests: ClassVar[bool] = False

    def __init__(
        self,
        label_names: tuple[str, ...],
        *,
        image_size: int = 224,
        resize: Resize = "pad",
        grey_range: GreyRange = "observed",
        prepared: Path | None = None,
        load_images: bool | None = None,
        load_privileged: bool | None = None,
        max_train_samples: int | None = None,
    ) -> None:
        super().__init__()
        check_label_names(label_names, self.label_setting)
        check_least("image_size", image_size, 1)
        check_least("max_train_samples", max_train_samples, 1)
        self.label_names = tuple(label_names)
        self.image_size = image_size
        self.resize = resize
        self.grey_range: GreyRange = grey_range
        self.prepared = None if prepared is None else Path(prepared)
        self._load_images = load_images
        self._load_privileged = load_privileged
        self.max_train_samples = max_train_samples
        self._splits: Mapping[str, Split] | None = None
        self._id_key: str | None = None
        self._file_ids: Mapping[str, NDArray[np.str_]] = {}
        self._form: PrivilegedForm | None = None
        self._held_out: tuple[int, int] | None = None

    @abstractmethod
    def read_splits(self) -> Mapping[str, Split]:
        """Read the rows of `train`, `val` and `test`; images are not opened.

        Returns:
            The splits. No patient is in two of them, and the training split has no ROIs.
        """

    def preprocess(self) -> Preprocess | None:
        """Return the step that an image goes through before it is resized; none by default."""
        return None

    @property
    def marks_absent_labels(self) -> bool:
        """Whether regions of labels that are 0 are expected, such as those of benign lesions, rather than a mistake."""
        return False

    def label_note(self, split_name: str) -> str:
        """Return what is known about errors in the labels of a split, as a sentence, or "" if nothing is.

        Args:
            split_name: `train`, `val` or `test`.
        """
        del split_name
        return ""

    @property
    def privileged_part(self) -> str:
        """The part of the privileged information that is served, for the record; empty if there is only one."""
        return ""

    @property
    def num_classes(self) -> int:
        """Number of labels K."""
        return len(self.label_names)

    @property
    def load_images(self) -> bool:
        """Whether images and ROIs are read."""
        return self._needed("needs_images") if self._load_images is None else self._load_images

    @property
    def load_privileged(self) -> bool:
        """Whether reports and tables are served."""
        return self._needed("needs_privileged") if self._load_privileged is None else self._load_privileged

    def _needed(self, name: str) -> bool:
        module = None if self.trainer is None else self.trainer.lightning_module
        return bool(getattr(module, name, True))

    def serve(self, load_images: bool, load_privileged: bool) -> None:
        """Set what is loaded, instead of asking the module that is trained. Call this before the splits are read."""
        self._load_images = load_images
        self._load_privileged = load_privileged

    def use_form(self, form: PrivilegedForm) -> None:
        """Give the privileged information another form. Call this before the splits are read."""
        self._form = form

    def hash_ids(self, key: str) -> None:
        """Replace identifiers of samples and patients by keyed hashes. Call this before the splits are read."""
        self._id_key = key

    def hold_out(self, fold: int, num_folds: int) -> None:
        """Leave one of several folds of patients out of the training split. Call this before the splits are read.

        Raises:
            ValueError: If there is no such fold.
        """
        if not 0 <= fold < num_folds:
            raise ValueError(f"Expected a fold in [0, {num_folds - 1}] but got {fold}.")
        self._held_out = (fold, num_folds)

    @property
    def preparation(self) -> Preparation:
        """How image files are brought into the frame of the network."""
        return Preparation(self.image_size, self.resize, self.grey_range, self.preprocess())

    @property
    def splits(self) -> Mapping[str, Split]:
        """The splits, read and checked at first use.

        Raises:
            ImageReadError: If regions cannot be placed on the image files.
            ValueError: If a split is missing or empty, patients are shared, or training samples carry ROIs; also if a split is
                looked up that has no samples.
        """
        if self._splits is None:
            splits = dict(self.read_splits())
            if self.prepared is not None:
                splits = {name: self._readable(split, self.prepared) for name, split in splits.items()}
            self._check(splits)
            self._splits = self._named(self._reduced(self._named(splits)))
        return self._splits

    def _readable(self, split: Split, folder: Path) -> Split:
        """Leave out the samples whose images could not be prepared."""
        readable = PreparedImages(folder, self.preparation, split.sample_id, split.image).readable
        counts = {**split.counts, "dropped_unreadable_images": int((~readable).sum())}
        return replace(split if readable.all() else split.take(np.flatnonzero(readable)), counts=counts)

    def _check(self, splits: Mapping[str, Split]) -> None:
        self._check_samples(splits, expected_splits(splits))
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

    def _check_samples(self, splits: Mapping[str, Split], expected: Sequence[str]) -> None:
        missing = [name for name in expected if not len(splits.get(name, ()))]
        if missing:
            advice = "" if "test" in expected else " Without them, a data set serves `mmpkd test` only."
            raise ValueError(
                f"Expected samples in {', '.join(expected)} but {missing} have none. Check {self.source_settings}.{advice}"
            )

    def _named(self, splits: Mapping[str, Split]) -> Splits:
        return Splits(splits, self.source_settings)

    def _reduced(self, splits: dict[str, Split]) -> Mapping[str, Split]:
        """Return the splits as this run sees them: fewer training samples, another form, hashed identifiers."""
        if self.max_train_samples is not None and self.max_train_samples < len(splits.get("train", ())):
            splits["train"] = splits["train"].take(np.arange(self.max_train_samples))
        # it may be fitted on the training split, without which a student is tested, who does not see it
        if self._form is not None and ("train" in splits or self.load_privileged):
            splits = self._named(self._form(splits))
        # after `max_train_samples` and the form, which all folds share
        if self._held_out is not None:
            fold, num_folds = self._held_out
            folds = patient_folds(splits["train"].patient_id, num_folds)
            splits["train"] = splits["train"].take(np.flatnonzero(folds != fold))
        # last: forms and folds need the identifiers of the data set
        if self._id_key is not None:
            self._file_ids = {name: split.sample_id for name, split in splits.items()}
            splits = {name: split.with_hashed_ids(self._id_key) for name, split in splits.items()}
        return splits

    def prepared_images(self, name: str) -> PreparedImages | None:
        """Return the prepared images of a split, or None if there are none."""
        if self.prepared is None:
            return None
        split = self.splits[name]
        # images were prepared under their original identifiers, before hashing
        file_ids = self._file_ids.get(name, split.sample_id)
        return PreparedImages(self.prepared, self.preparation, file_ids, split.image)

    def setup(self, stage: str) -> None:
        """Read and check the splits before any long work starts.

        Raises:
            ValueError: If there is nothing to fit on, or to validate on.
        """
        self._check_samples(self.splits, _OF_STAGE.get(stage, ()))

    def data_report(self) -> dict[str, dict[str, int]]:
        """Return how many samples each split holds, and how many its reader dropped, for the report."""
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


def check_least(name: str, value: int | None, least: int) -> None:
    """Check that a setting of the data is not below its minimum; None is allowed.

    Raises:
        ValueError: If it is.
    """
    if value is not None and value < least:
        raise ValueError(f"Expected data.{name} of at least {least} but got {value}.")
