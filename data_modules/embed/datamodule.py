"""The EMBED data module."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data_modules.base import License, PrivilegedDataModule
from data_modules.cbis_ddsm.breast import PrepareBreast
from data_modules.embed.boxes import advise, box_column, read_rois
from data_modules.embed.files import Frame, image_files, relative_paths
from data_modules.embed.mirroring import check_sides
from data_modules.embed.tables import (
    COLUMNS,
    MALE,
    Preset,
    Unproven,
    encode,
    join,
    known_values,
    label_findings,
    pool,
    read_findings,
    read_images,
    split_values,
)
from data_modules.evaluation import MissingImages
from data_modules.images.preparation import Preprocess
from data_modules.images.regions import Roi
from data_modules.split import Split


class EMBEDDataModule(PrivilegedDataModule):
    """Digital mammograms, cancer, lesion descriptors as privileged columns, and boxes: a second data set beside CBIS-DDSM.

    Access: agreement with Emory University, non-commercial use, images on AWS Open Data
    (https://github.com/Emory-HITI/EMBED_Open_Data): 480,323 images of 22,382 patients.

    Cite: Jeong et al., "The EMory BrEast imaging Dataset (EMBED)", Radiology: Artificial Intelligence 5:e220047, 2023,
    https://doi.org/10.1148/ryai.220047.

    Read before use:
    (1) Descriptors belong to a breast of an examination, not to an image or a box: both views of a breast share them, and
    the boxes of an image are joined.
    (2) A finding of one breast must not be attributed to the other, so tables are joined by patient, examination and side, and
    pathology counts for the breast that `bside` names. Without it, the breast that the finding describes is unknown, and if
    it is a cancer, the other one as well.
    (3) Most findings have no pathology. Those assessed as negative or benign count as no cancer; the others do under
    `unproven: benign`, which is a guess, or leave the data under `drop`. Pathology of codes 5 and 6, which mean different
    things in different releases, counts as none.
    (4) Most images have no box, and boxes of breasts without cancer are no regions of "Malignant". There is no official split:
    it is drawn by patient.
    (5) Spot compressions, magnifications and men are left out.
    (6) The frame of `ROI_coords` depends on the release: pixels of the DICOM file, or of a PNG file that was mirrored where
    the breast lay on the right. `roi_frame` says which, and ten images are checked for boxes beside the breast.

    Args:
        root: Folder with `tables/`, and with `images/cohort_1/`... or `cohort_1/`..., or one above.
        roi_frame: Frame of `ROI_coords`: pixels of mirrored PNG files (`png`: the open release, tables of 2023), or of the
            DICOM files (`dicom`). Newer tables with `DCM_ROI_coords` and `PNG_ROI_coords` need no setting.
        image_frame: Frame of the image files: the DICOM files, or PNG files in their place that were mirrored as in Emory's
            notebook (`<name>.png` or `<name>_conv.png`).
        annotation_size: CSV file with image_id (the file's name without suffix), height and width of the DICOM files, for PNG
            files beside a metadata table without Rows and Columns.
        with_regions: Whether to read boxes.
        image_prefix: Beginning of `anon_dicom_path` that stands for the folder of images; None for everything before
            `cohort_`.
        columns: Privileged columns. `nuisance` is a negative control, `with_assessment` an upper bound.
        unproven: Label of findings without pathology that were not assessed as negative or benign.
        val_fraction: Share of the patients that become the validation set.
        test_fraction: Share of the patients that become the test set.
        split_seed: Seed of that draw; the same for all arms and seeds of a study.
        missing_images: Whether a missing image is an error, or its sample is dropped and counted.
        options: Arguments of `PrivilegedDataModule`, for images and loaders.
    """

    license: ClassVar[License] = "credentialed"

    def __init__(
        self,
        root: Path,
        roi_frame: Frame | None = None,
        image_frame: Frame = "dicom",
        annotation_size: Path | None = None,
        with_regions: bool = True,
        image_prefix: str | None = None,
        columns: Preset = "descriptors",
        unproven: Unproven = "drop",
        val_fraction: float = 0.1,
        test_fraction: float = 0.2,
        split_seed: int = 0,
        missing_images: MissingImages = "error",
        **options: Any,
    ) -> None:
        super().__init__(("Malignant",), **options)
        if not (val_fraction > 0 and test_fraction > 0 and val_fraction + test_fraction < 1):
            raise ValueError(
                f"Expected fractions that leave patients to train on but got {val_fraction} and {test_fraction}."
            )
        self.root = Path(root)
        self.image_prefix = image_prefix
        self.unproven = unproven
        self.categorical, self.numeric = COLUMNS[columns]
        self.val_fraction = val_fraction
        self.test_fraction = test_fraction
        self.split_seed = split_seed
        self.missing_images = missing_images
        self.roi_frame = roi_frame
        self.image_frame = image_frame
        self.annotation_size = annotation_size
        self.with_regions = with_regions

    def preprocess(self) -> Preprocess:
        """Crop to the breast."""
        return PrepareBreast()

    @property
    def marks_absent_labels(self) -> bool:
        """Whether benign findings have boxes; they do."""
        return True

    def read_splits(self) -> Mapping[str, Split]:
        """Read and join the tables.

        Raises:
            FileNotFoundError: If a table is missing, or an image and `missing_images` is `error`.
            ValueError: If a column is missing, the frame of boxes is not known, or boxes do not lie on the breast.
        """
        rows, codes, counts = self._read_rows()
        subset = self._draw(rows["empi_anon"])
        rois: dict[str, Roi] = {}
        if self.load_images and self.with_regions:
            column, frame = box_column(rows.columns, self.roi_frame, self.image_frame)
            evaluated = rows[subset != "train"]
            rois, roi_counts = read_rois(evaluated, column, frame, self.image_frame, self.annotation_size)
            counts |= roi_counts
        splits = {name: self._split(rows[subset == name], codes, rois) for name in ("train", "val", "test")}
        if rois:
            check_sides(splits.values(), self.preparation, advise(column, frame))
        return splits | {"train": replace(splits["train"], counts=counts)}

    def _read_rows(self) -> tuple[pd.DataFrame, dict[str, list[str]], dict[str, int]]:
        """Return images with a label and a file, joined with their breast; codes by column; and counts of what was left out."""
        images, image_counts = read_images(self.root)
        findings, finding_counts = read_findings(self.root)
        # the view belongs to an image, everything else to a breast
        codes = {name: known_values(findings[name]) for name in self.categorical if name != "ViewPosition"}
        pooled = pool(findings, label_findings(findings, self.unproven), codes)
        rows = join(images, pooled)
        if "ViewPosition" in self.categorical:
            codes["ViewPosition"] = known_values(rows["ViewPosition"])
            rows["ViewPosition"] = rows["ViewPosition"].map(split_values)
        counts = {**image_counts, **finding_counts, "images_without_findings": len(images) - len(rows)}
        rows, dropped = _without_unknown(rows)
        relative = relative_paths(rows["anon_dicom_path"], self.image_prefix)
        files = image_files(self.root, relative, self.image_frame)
        rows = rows.assign(name=[path.stem for path in relative], file=pd.Series(files, index=rows.index, dtype=object))
        rows, missing = self._existing(rows)
        return rows, codes, {**counts, **dropped, "dropped_missing_images": missing}

    def _existing(self, rows: pd.DataFrame) -> tuple[pd.DataFrame, int]:
        """Return the rows whose image exists, and the number of the others."""
        if not self.load_images:
            return rows, 0
        missing = np.array([not file.is_file() for file in rows["file"]], dtype=np.bool_)
        if missing.any() and self.missing_images == "error":
            example = rows["file"].iloc[int(np.flatnonzero(missing)[0])]
            raise FileNotFoundError(
                f"Expected the images of all {len(rows)} samples but {int(missing.sum())} are missing, for example "
                f"'{example}'. Set data.image_prefix to the beginning of the paths, or data.missing_images to 'drop'."
            )
        return rows[~missing], int(missing.sum())

    def _draw(self, patients: "pd.Series[str]") -> NDArray[np.str_]:
        """Return the split of every row, drawn by patient."""
        # sorted, so that the draw does not depend on the order of the table
        unique = np.sort(patients.unique())
        order = np.random.default_rng(self.split_seed).permutation(len(unique))
        num_test = round(self.test_fraction * len(unique))
        num_val = round(self.val_fraction * len(unique))
        drawn = np.full(len(unique), "train", dtype="<U5")
        drawn[order[:num_test]] = "test"
        drawn[order[num_test : num_test + num_val]] = "val"
        return np.asarray(drawn[np.searchsorted(unique, patients)], dtype=np.str_)

    def _split(self, rows: pd.DataFrame, codes: Mapping[str, list[str]], rois: Mapping[str, Roi]) -> Split:
        table = encode(rows, codes, self.numeric)
        names = rows["name"].tolist()
        return Split(
            sample_id=np.array(names, dtype=np.str_),
            patient_id=rows["empi_anon"].to_numpy(dtype=np.str_),
            image=rows["file"].tolist(),
            label=rows["label"].to_numpy(dtype=np.float32)[:, None],
            has_privileged=table.has_value,
            table=table,
            rois={row: (rois[name],) for row, name in enumerate(names) if name in rois},
            strata={"side": rows["laterality"].to_numpy(dtype=np.str_)},
        )


def _without_unknown(rows: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, int]]:
    """Return the images of women's breasts with a label, and counts of the others."""
    male = rows["tissueden"] == MALE
    unknown = rows["label"].isna()
    counts = {
        "dropped_male": int(male.sum()),
        "dropped_pathology_side_unknown": int((~male & unknown & rows["side_unknown"]).sum()),
        "dropped_unproven": int((~male & unknown & ~rows["side_unknown"]).sum()),
    }
    return rows[~male & ~unknown], counts
