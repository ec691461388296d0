"""The data module for any table."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from data_modules.base import License, PrivilegedDataModule
from data_modules.split import Split
from data_modules.table.privileged import PrivilegedColumns
from data_modules.table.reader import TableReader
from data_modules.table.rois import RoiColumns
from data_modules.table.split_column import SplitColumn
from data_modules.table.where import RowFilter


class TableDataModule(PrivilegedDataModule):
    """Images, labels, text or columns, and boxes or masks from one CSV or Parquet file, without any Python.

    Args:
        root: Folder of the table and of the images.
        path: The table, relative to the root.
        image_column: Column with image paths, relative to the root.
        label_columns: Columns with 1, 0 or blank (not stated).
        sample_column: Column that identifies a sample; a sample with several boxes has several rows.
        patient_column: Column that identifies a patient; no patient may be in two splits.
        split: Column with the split, and its values.
        privileged: Columns that only the teacher sees.
        rois: Regions of interest.
        strata_columns: Columns by which results are broken down, such as view or scanner.
        where: Rows to keep, as a condition such as `age > 40 and view == 'PA'`, in the notation of `pandas.DataFrame.query`.
        data_license: Whether the data may leave the machine; `credentialed` keeps media away from online services.
        options: Arguments of `PrivilegedDataModule`, for images and loaders.
    """

    label_setting: ClassVar[str] = "data.label_columns"
    source_settings: ClassVar[str] = "data.split.column, its values, data.where and data.rois.patients"

    def __init__(
        self,
        root: Path,
        path: str,
        image_column: str,
        label_columns: list[str],
        sample_column: str,
        patient_column: str,
        split: SplitColumn = SplitColumn(),
        privileged: PrivilegedColumns = PrivilegedColumns(),
        rois: RoiColumns = RoiColumns(),
        strata_columns: list[str] | None = None,
        where: str | None = None,
        data_license: License = "credentialed",
        **options: Any,
    ) -> None:
        super().__init__(tuple(label_columns), **options)
        self.roi_area = rois.area
        self.roi_union_area = rois.union_area
        self.license = data_license  # type: ignore[misc]  # here the user states the license
        root = Path(root)
        self.reader = TableReader(
            path=root / path,
            image_root=root,
            image_column=image_column,
            label_columns=self.label_names,
            sample_column=sample_column,
            patient_column=patient_column,
            split=split,
            privileged=privileged,
            strata_columns=tuple(strata_columns or ()),
            rois=rois,
            where=None if where is None else RowFilter(where),
        )

    def read_splits(self) -> Mapping[str, Split]:
        """Read the table."""
        return self.reader.read()
