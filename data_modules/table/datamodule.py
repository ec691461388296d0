"""The data module for any table."""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from data_modules.base import License, PrivilegedDataModule
from data_modules.images.geometry import BoxFormat, Resize
from data_modules.images.image_file import GreyRange
from data_modules.images.transforms import Augmentation
from data_modules.split import Split
from data_modules.table.privileged import PrivilegedColumns
from data_modules.table.reader import RoiPatients, TableReader
from data_modules.table.rois import RoiColumns
from data_modules.table.where import RowFilter


class TableDataModule(PrivilegedDataModule):
    """Samples from one CSV or Parquet file: images, labels, text or columns, boxes or masks. No Python needed.

    Args:
        root: Folder of the table and of the images.
        path: The table, relative to the root.
        image_column: Column with image paths, relative to the root.
        label_columns: Columns with 1, 0 or blank (not stated).
        sample_column: Column that identifies a sample; several rows of one sample hold its boxes.
        patient_column: Column that identifies a patient; no patient may be in two splits.
        split_column: Column with the split.
        train_value: Its value for training.
        val_value: Its value for validation.
        test_value: Its value for test.
        text_column: Column with the privileged text. A sample without text has no privileged input.
        numeric_columns: Privileged numeric columns.
        categorical_columns: Privileged categorical columns; their values are taken from training, others are ignored.
        category_separator: Separates several values in one cell.
        strata_columns: Columns that results are broken down by, such as view or scanner.
        roi_label: Label that all regions of interest show; or
        roi_label_column: column with the label that the regions of a row show.
        mask_pattern: Path of a mask below the root, with `{column}` placeholders, used where the file exists.
        mask_columns: Columns with mask paths, relative to the root; blank where there is none.
        box_columns: Four columns of a box, in pixels of the image file or as fractions.
        box_format: What they are.
        ellipse_columns: Four columns of an ellipse: left, top, right and bottom of the box around it, in pixels.
        circle_columns: Three columns of a circle: x and y of its centre, and its radius, in pixels.
        roi_patients: Training patients with a region are dropped, or moved to `test`; none stays in training.
        where: Rows to keep, as a condition such as `age > 40 and view == 'PA'`, in the notation of `pandas.DataFrame.query`.
        data_license: Whether the data may leave the machine; `credentialed` keeps media away from online services.
        image_size: Side of the square frame that the network sees, in pixels.
        batch_size: Samples a step and device.
        num_workers: Loader processes; 0 loads in the training process.
        seed: Seed of order and augmentation; the command line sets it to the run's seed.
        mean: Mean grey value, in [0, 1], for normalisation.
        std: Standard deviation of grey values.
        resize: `stretch` to the square frame, or `pad` to keep the aspect ratio.
        augmentation: Random changes of training images.
        cache_images: Keep prepared images in memory after the first read.
        max_train_samples: Use only the first so many training samples, or None for all.
        grey_range: What becomes 0 and 1 in DICOM and 16 bit files: the extremes of each image (`observed`), or the ends
            of the range that the file declares (`declared`).
        prepared: Folder that `mmpkd prepare` wrote with the same settings, or None to read the image files.
        roi_area: Share in (0, 1] of the frame that a typical region takes: what `iou_top_area` selects of a map.
        roi_union_area: The same of the union of an image's regions; None for `roi_area`.
    """

    label_setting: ClassVar[str] = "data.label_columns"
    source_settings: ClassVar[str] = "data.split_column, its values, data.where and data.roi_patients"

    def __init__(
        self,
        root: Path,
        path: str,
        image_column: str,
        label_columns: list[str],
        sample_column: str,
        patient_column: str,
        split_column: str = "split",
        train_value: str = "train",
        val_value: str = "val",
        test_value: str = "test",
        text_column: str | None = None,
        numeric_columns: list[str] | None = None,
        categorical_columns: list[str] | None = None,
        category_separator: str = "|",
        strata_columns: list[str] | None = None,
        roi_label: str | None = None,
        roi_label_column: str | None = None,
        mask_pattern: str | None = None,
        mask_columns: list[str] | None = None,
        box_columns: tuple[str, str, str, str] | None = None,
        box_format: BoxFormat = "xywh",
        ellipse_columns: tuple[str, str, str, str] | None = None,
        circle_columns: tuple[str, str, str] | None = None,
        roi_patients: RoiPatients = "drop",
        where: str | None = None,
        data_license: License = "credentialed",
        image_size: int = 224,
        batch_size: int = 32,
        num_workers: int = 0,
        seed: int = 0,
        mean: float = 0.5,
        std: float = 0.25,
        resize: Resize = "pad",
        augmentation: Augmentation | None = None,
        cache_images: bool = False,
        max_train_samples: int | None = None,
        grey_range: GreyRange = "observed",
        prepared: Path | None = None,
        roi_area: float = 0.1,
        roi_union_area: float | None = None,
    ) -> None:
        super().__init__(
            label_names=tuple(label_columns),
            image_size=image_size,
            batch_size=batch_size,
            num_workers=num_workers,
            seed=seed,
            mean=mean,
            std=std,
            resize=resize,
            augmentation=augmentation,
            cache_images=cache_images,
            max_train_samples=max_train_samples,
            grey_range=grey_range,
            prepared=prepared,
        )
        for name, area in {"roi_area": roi_area, "roi_union_area": roi_union_area}.items():
            if area is not None and not 0 < area <= 1:
                raise ValueError(f"Expected data.{name} in (0, 1] but got {area}.")
        self.roi_area = roi_area
        self.roi_union_area = roi_union_area
        self.license = data_license  # type: ignore[misc]  # the class of the data is the user's to state here
        rois = None
        if mask_pattern or mask_columns or box_columns or ellipse_columns or circle_columns:
            rois = RoiColumns(
                label=roi_label,
                label_column=roi_label_column,
                mask_pattern=mask_pattern,
                mask_columns=tuple(mask_columns or ()),
                box_columns=box_columns,
                box_format=box_format,
                ellipse_columns=ellipse_columns,
                circle_columns=circle_columns,
            )
        root = Path(root)
        self.reader = TableReader(
            path=root / path,
            image_root=root,
            image_column=image_column,
            label_columns=self.label_names,
            sample_column=sample_column,
            patient_column=patient_column,
            split_column=split_column,
            split_values={"train": train_value, "val": val_value, "test": test_value},
            text_column=text_column,
            privileged=PrivilegedColumns(
                tuple(numeric_columns or ()), tuple(categorical_columns or ()), category_separator
            ),
            strata_columns=tuple(strata_columns or ()),
            rois=rois,
            roi_patients=roi_patients,
            where=None if where is None else RowFilter(where),
        )

    def read_splits(self) -> Mapping[str, Split]:
        """Read the table."""
        return self.reader.read()
