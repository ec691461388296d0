"""Regions of interest of a table: boxes, and mask files by column or by pattern."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from data_modules.columns import check_names
from data_modules.geometry import BoxFormat, to_xyxy
from data_modules.regions import BoxRegion, MaskRegion, Region, Roi


@dataclass(frozen=True)
class RoiColumns:
    """Where regions of interest are, and what they show.

    Attributes:
        label: The label that the regions show, or None if a column tells.
        label_column: Column with the label that the regions of a row show, or None.
        mask_pattern: Path of a mask below the image root, with `{column}` placeholders, used where the file exists.
        mask_columns: Columns with paths of masks below the image root, used where a cell is not blank.
        box_columns: Four columns of a box; a sample with several boxes has several rows.
        box_format: What the four numbers are.
    """

    label: str | None
    label_column: str | None = None
    mask_pattern: str | None = None
    mask_columns: tuple[str, ...] = ()
    box_columns: tuple[str, str, str, str] | None = None
    box_format: BoxFormat = "xywh"

    def __post_init__(self) -> None:
        if (self.label is None) == (self.label_column is None):
            raise ValueError(
                "Expected either roi_label, the one label that all regions show, or roi_label_column, the column that tells, "
                f"but got {self.label!r} and {self.label_column!r}."
            )

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the table that are used."""
        label = (self.label_column,) if self.label_column else ()
        return (*label, *self.mask_columns, *(self.box_columns or ()))


def read_rois(
    columns: RoiColumns, frame: pd.DataFrame, sample_column: str, label_names: Sequence[str], root: Path
) -> dict[str, tuple[Roi, ...]]:
    """Return the regions of every sample that has one; the parts of one label are joined.

    Args:
        columns: Where they are.
        frame: The table, one row or more a sample.
        sample_column: Column that identifies a sample.
        label_names: The K labels.
        root: Folder that paths of masks are relative to.

    Returns:
        ROIs by sample.

    Raises:
        ValueError: If a label is unknown, no sample has a file of the pattern, or a box is not four numbers.
    """
    parts: dict[str, dict[int, list[Region]]] = {}
    labels = _labels(columns, frame, label_names)
    regions = [_boxes(columns, frame), _mask_columns(columns, frame, root), _mask_pattern(columns, frame, root)]
    names = frame[sample_column].tolist()
    for found in regions:
        for row, region in found:
            own = parts.setdefault(names[row], {}).setdefault(labels[row], [])
            if region not in own:  # repeated in every row of the sample
                own.append(region)
    return {
        name: tuple(Roi(label, tuple(own)) for label, own in sorted(by_label.items()))
        for name, by_label in parts.items()
    }


def _labels(columns: RoiColumns, frame: pd.DataFrame, label_names: Sequence[str]) -> list[int]:
    number = {name: position for position, name in enumerate(label_names)}
    if columns.label_column is None:
        check_names([str(columns.label)], list(label_names), "labels that a region shows")
        return [number[str(columns.label)]] * len(frame)
    values = frame[columns.label_column]
    check_names(values.dropna().unique().tolist(), list(label_names), f"labels in column '{columns.label_column}'")
    return values.map(number).fillna(-1).astype(int).tolist()


def _boxes(columns: RoiColumns, frame: pd.DataFrame) -> list[tuple[int, Region]]:
    if columns.box_columns is None:
        return []
    numbers = frame[list(columns.box_columns)].apply(pd.to_numeric, errors="raise").to_numpy(dtype=float)
    normalised = columns.box_format.endswith("_normalised")
    stated = pd.notna(numbers)
    return [
        (row, BoxRegion(to_xyxy(numbers[row].tolist(), columns.box_format), normalised))
        for row in range(len(frame))
        if stated[row].any()
    ]


def _mask_columns(columns: RoiColumns, frame: pd.DataFrame, root: Path) -> list[tuple[int, Region]]:
    return [
        (row, MaskRegion(root / str(path)))
        for name in columns.mask_columns
        for row, path in enumerate(frame[name])
        if pd.notna(path)
    ]


def _mask_pattern(columns: RoiColumns, frame: pd.DataFrame, root: Path) -> list[tuple[int, Region]]:
    if columns.mask_pattern is None or frame.empty:
        return []
    paths = [
        root / columns.mask_pattern.format(**{str(k): v for k, v in row.items()}) for row in frame.to_dict("records")
    ]
    found: list[tuple[int, Region]] = [(row, MaskRegion(path)) for row, path in enumerate(paths) if path.is_file()]
    if not found:
        raise ValueError(
            f"Expected mask files like '{paths[-1]}' but no sample has one. Check data.mask_pattern and data.root."
        )
    return found
