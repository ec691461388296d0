"""The CBIS-DDSM data module."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd

from data_modules.base import License, PrivilegedDataModule
from data_modules.cbis_ddsm.breast import PrepareBreast
from data_modules.cbis_ddsm.descriptors import Preset, preset_columns
from data_modules.cbis_ddsm.files import ImageTree, open_tree
from data_modules.cbis_ddsm.samples import (
    MissingImages,
    RoiAbnormalities,
    Unit,
    build_split,
    group_samples,
    locate_images,
    locate_rois,
    pool_label,
    pool_table,
)
from data_modules.cbis_ddsm.split import assign_subsets
from data_modules.cbis_ddsm.tables import Abnormality, read_tables
from data_modules.images.image_file import GreyRange
from data_modules.images.preparation import Preprocess
from data_modules.split import Split

WithoutCallback = Literal["benign", "drop", "own_class"]


class CBISDDSMDataModule(PrivilegedDataModule):
    """Mammograms, malignancy, lesion descriptors as privileged columns, and lesion masks.

    Access: CC BY 3.0, from The Cancer Imaging Archive (https://doi.org/10.7937/K9/TCIA.2016.7O02S9CY), 164 GB of DICOM
    and four description files. Put the description files into `root` (or a folder below, such as `csv/`) and the download
    below it. The JPEG copy on Kaggle (`csv/` and `jpeg/`) is read, too; its 8 bit files lose most of the 16 bit range.

    Cite: Sawyer-Lee et al., "Curated Breast Imaging Subset of Digital Database for Screening Mammography", The Cancer
    Imaging Archive, 2016; Lee et al., "A curated mammography data set for use in computer-aided detection and
    diagnosis research", Scientific Data 4:170177, 2017; Clark et al., "The Cancer Imaging Archive (TCIA)", Journal of
    Digital Imaging 26:1045, 2013.

    Read before use:
    (1) `assessment` (BI-RADS) is the radiologist's own verdict on malignancy, so `all_with_birads` is an upper bound.
    (2) BENIGN_WITHOUT_CALLBACK was never biopsied: its label comes from the reading itself, and a calcification teacher mostly
    learns who was not called back. Also report results with `without_callback: drop`.
    (3) The official split leaks 31 patients between masses and calcifications; with `abnormality: both` they are
    dropped from training. There is no official validation set: it is drawn by patient.
    (4) Masks that do not have the proportions of their image, within one pixel, cannot be aligned and are left out of
    localization; the data report counts them.

    Args:
        root: Folder with the description files and, if images are loaded, the delivered tree.
        abnormality: Lesions to read.
        columns: Privileged columns. `nuisance` is a negative control, `all_with_birads` an upper bound.
        unit: One sample per `image`, or per `abnormality`, to check a table teacher without images.
        missing_indicator: Whether a missing descriptor has a column of its own. It leaks the label: none of the 439
            calcifications without a distribution is malignant.
        without_callback: Count BENIGN_WITHOUT_CALLBACK lesions as benign, drop them in every split, or give samples that have
            no others a second label, "Benign without callback" (`own_class`).
        val_fraction: Share of the training patients that become the validation set.
        split_seed: Seed of that draw; the same for all arms and seeds of a study.
        missing_images: Whether a sample whose image was not downloaded is an error or is dropped and counted.
        roi_abnormalities: Lesions whose masks make up the region of an image: all, or only the malignant ones.
        breast: Preprocessing of an image before it is resized. By default it is cropped to the breast, and right breasts are
            mirrored; with `crop: false` and nothing else, the film is kept as it is.
        grey_range: What becomes 0 and 1: the ends of the 16 bit scale that all digitised films share (`declared`), or
            the extremes of each image (`observed`), which changes how bright one density is from film to film.
        options: Arguments of `PrivilegedDataModule`, for images and loaders.
    """

    license: ClassVar[License] = "open"
    roi_area = 0.02  # about the share of the cropped breast that a mass covers

    def __init__(
        self,
        root: Path,
        abnormality: Abnormality = "mass",
        columns: Preset = "descriptors",
        unit: Unit = "image",
        missing_indicator: bool = False,
        without_callback: WithoutCallback = "benign",
        val_fraction: float = 0.15,
        split_seed: int = 0,
        missing_images: MissingImages = "error",
        roi_abnormalities: RoiAbnormalities = "all",
        breast: PrepareBreast = PrepareBreast(),
        grey_range: GreyRange = "declared",
        **options: Any,
    ) -> None:
        label_names = ("Malignant", "Benign without callback") if without_callback == "own_class" else ("Malignant",)
        super().__init__(label_names, grey_range=grey_range, **options)
        self.root = Path(root)
        self.abnormality = abnormality
        self.unit = unit
        self.preset: str = columns
        self.columns = preset_columns(columns, abnormality)
        self.missing_indicator = missing_indicator
        self.without_callback = without_callback
        self.missing_images = missing_images
        self.val_fraction = val_fraction
        self.split_seed = split_seed
        self.roi_abnormalities = roi_abnormalities
        self.breast = breast

    @property
    def privileged_part(self) -> str:
        """Name of the preset of columns."""
        return self.preset

    @property
    def marks_absent_labels(self) -> bool:
        """Whether benign lesions have regions as well."""
        return self.roi_abnormalities == "all"

    def read_splits(self) -> Mapping[str, Split]:
        """Read the description files, and find images and masks if images are loaded.

        Returns:
            The splits `train`, `val` and `test`; only `val` and `test` have masks.

        Raises:
            FileNotFoundError: If a description file or an image is missing.
            ValueError: If a value is outside the documented vocabulary.
        """
        rows = read_tables(self.root, self.abnormality)
        frame, num_leaked = assign_subsets(rows, self.val_fraction, self.split_seed)
        tree = open_tree(self.root, rows) if self.load_images else None
        splits = {
            str(name): self._build(str(name), rows.reset_index(drop=True), tree)
            for name, rows in frame.groupby("subset", sort=True)
        }
        if "train" in splits:
            counts = {**splits["train"].counts, "dropped_leaked_patients": num_leaked}
            splits["train"] = replace(splits["train"], counts=counts)
        return splits

    def preprocess(self) -> Preprocess | None:
        """Return the crop to the breast, the window and the removal of the background, or None if all are off."""
        return None if self.breast.is_off else self.breast

    def _build(self, name: str, rows: pd.DataFrame, tree: ImageTree | None) -> Split:
        counts: dict[str, int] = {}
        if self.without_callback == "drop":
            keep = (rows["pathology"] != "BENIGN_WITHOUT_CALLBACK").to_numpy(dtype=np.bool_)
            counts["dropped_without_callback"] = int((~keep).sum())
            rows = rows[keep]
        samples = group_samples(rows, self.unit)
        images = [Path()] * len(samples)
        if tree is not None:
            samples, images, counts["dropped_missing_images"] = locate_images(samples, tree, self.missing_images)
        table = pool_table(samples, self.columns, self.missing_indicator)
        label = pool_label(samples, self.without_callback == "own_class")
        split = build_split(samples, table, label, images, counts)
        # no region in training: localization is zero-shot
        if tree is None or name == "train":
            return split
        rois, status, counts = locate_rois(samples, images, tree, self.roi_abnormalities)
        strata = {**split.strata, "mask_status": status}
        return replace(split, rois=rois, counts={**split.counts, **counts}, strata=strata)
