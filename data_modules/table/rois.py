"""Regions of interest in a table: boxes, ellipses, circles, and mask files by column or by pattern."""

import string
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from data_modules.columns import check_names, coordinates, rows_in_words
from data_modules.images.geometry import BoxFormat, to_xyxy
from data_modules.images.mask_regions import MaskRegion
from data_modules.images.regions import BoxRegion, EllipseRegion, Region, Roi

Found = list[tuple[int, Region]]
RoiPatients = Literal["drop", "test"]


@dataclass(frozen=True)
class RoiColumns:
    """Regions of interest: where they are, and the labels that they show.

    Attributes:
        label: Label that all regions show; or
        label_column: column with the label that the regions of a row show.
        mask_pattern: Path of a mask below the image root, with `{column}` placeholders, used where the file exists.
        mask_columns: Columns with paths of masks below the image root, used where a cell is not blank.
        box_columns: Four columns of a box; a sample with several boxes has several rows.
        box_format: Meaning of the four numbers.
        ellipse_columns: Four columns with left, top, right and bottom of an ellipse, in pixels.
        circle_columns: Three columns with the centre of a circle, as x and y, and its radius, in pixels.
        patients: Training patients with a region are dropped, or moved to `test`; none stays in training.
        area: Share in (0, 1] of the frame that a typical region covers; `iou_top_area` selects that share of a map.
        union_area: The same of the union of an image's regions; None for `area`.

    Raises:
        ValueError: If regions have no label, the pattern is not valid, or an area is out of range.
    """

    label: str | None = None
    label_column: str | None = None
    mask_pattern: str | None = None
    mask_columns: tuple[str, ...] = ()
    box_columns: tuple[str, str, str, str] | None = None
    box_format: BoxFormat = "xywh"
    ellipse_columns: tuple[str, str, str, str] | None = None
    circle_columns: tuple[str, str, str] | None = None
    patients: RoiPatients = "drop"
    area: float = 0.1
    union_area: float | None = None

    def __post_init__(self) -> None:
        for name, area in {"area": self.area, "union_area": self.union_area}.items():
            if area is not None and not 0 < area <= 1:
                raise ValueError(f"Expected data.rois.{name} in (0, 1] but got {area}.")
        if not self.is_empty and (self.label is None) == (self.label_column is None):
            raise ValueError(
                "Expected either data.rois.label, the one label that all regions show, or data.rois.label_column, the column "
                f"that names it, but got {self.label!r} and {self.label_column!r}."
            )
        # raises now if the pattern is not valid
        _ = self.pattern

    @property
    def is_empty(self) -> bool:
        """Whether the table has no regions."""
        shapes = (self.mask_pattern, self.mask_columns, self.box_columns, self.ellipse_columns, self.circle_columns)
        return not any(shapes)

    @cached_property
    def pattern(self) -> tuple[tuple[str, str | None], ...]:
        """The parts of `mask_pattern`, each a text and the column that follows it, or None.

        Raises:
            ValueError: If its braces hold anything but the name of a column.
        """
        if self.mask_pattern is None:
            return ()
        try:
            parts = tuple(string.Formatter().parse(self.mask_pattern))
        except ValueError as error:
            raise self._wrong_pattern(str(error)) from error
        fields = [part for part in parts if part[1] is not None]
        if not fields or any(not name or spec or conversion for _, name, spec, conversion in fields):
            raise self._wrong_pattern("each pair holds one name and nothing else")
        return tuple((text, name) for text, name, _, _ in parts)

    @property
    def pattern_columns(self) -> tuple[str, ...]:
        """Columns in the braces of `mask_pattern`."""
        return tuple(name for _, name in self.pattern if name is not None)

    def _wrong_pattern(self, reason: str) -> ValueError:
        return ValueError(
            f"Expected names of columns in braces in data.rois.mask_pattern, such as 'masks/{{image_id}}.png', but got "
            f"'{self.mask_pattern}': {reason}."
        )

    @property
    def used(self) -> dict[str, tuple[str, ...]]:
        """The columns that are used, by the setting that names them."""
        if self.is_empty:
            return {}
        return {
            "rois.label_column": (self.label_column,) if self.label_column else (),
            "rois.mask_pattern": self.pattern_columns,
            "rois.mask_columns": self.mask_columns,
            "rois.box_columns": self.box_columns or (),
            "rois.ellipse_columns": self.ellipse_columns or (),
            "rois.circle_columns": self.circle_columns or (),
        }


def read_rois(
    columns: RoiColumns, frame: pd.DataFrame, sample_column: str, label_names: Sequence[str], root: Path, file: str
) -> dict[str, tuple[Roi, ...]]:
    """Return the regions of every sample that has one; parts of the same label are joined.

    Args:
        columns: Columns with the regions.
        frame: The table, with one or more rows per sample.
        sample_column: Column that identifies a sample.
        label_names: The K labels.
        root: Folder that paths of masks are relative to.
        file: Name of the table, for messages.

    Returns:
        ROIs by sample.

    Raises:
        ValueError: If a label is unknown or blank, no sample has a file of the pattern, or a shape is not given by numbers.
    """
    labels = _labels(columns, frame, label_names, file)
    found = [
        *_boxes(columns, frame, file),
        *_ellipses(columns, frame, file),
        *_circles(columns, frame, file),
        *_mask_columns(columns, frame, root),
        *_mask_pattern(columns, frame, root),
    ]
    _check_labelled(columns, frame, [row for row, _ in found], file)
    names = frame[sample_column].tolist()
    parts: dict[str, dict[int, list[Region]]] = {}
    for row, region in found:
        own = parts.setdefault(names[row], {}).setdefault(labels[row], [])
        if region not in own:  # a mask may be repeated in every row of its sample
            own.append(region)
    rois: dict[str, tuple[Roi, ...]] = {}
    for name, by_label in parts.items():
        rois[name] = tuple(Roi(label, tuple(own)) for label, own in sorted(by_label.items()))
    return rois


def _labels(columns: RoiColumns, frame: pd.DataFrame, label_names: Sequence[str], file: str) -> list[int]:
    """Return the label of each row, -1 where none is stated."""
    number = {name: position for position, name in enumerate(label_names)}
    if columns.label_column is None:
        check_names([str(columns.label)], list(label_names), "labels that a region shows (data.rois.label)")
        return [number[str(columns.label)]] * len(frame)
    values = frame[columns.label_column]
    check_names(values.dropna().unique().tolist(), list(label_names), f"labels in column '{values.name}' of '{file}'")
    return [number.get(value, -1) for value in values]


def _check_labelled(columns: RoiColumns, frame: pd.DataFrame, rows: Sequence[int], file: str) -> None:
    """Check that the rows with a region state its label."""
    if columns.label_column is None:
        return
    values = frame[columns.label_column]
    blank = np.zeros(len(frame), dtype=np.bool_)
    blank[list(rows)] = values.iloc[list(rows)].isna()
    if blank.any():
        raise ValueError(
            f"Expected the label of every region in column '{values.name}' of '{file}' (data.rois.label_column) but it is blank "
            f"in {rows_in_words(values, blank)}. Fill it in, or delete the regions there."
        )


def _boxes(columns: RoiColumns, frame: pd.DataFrame, file: str) -> Found:
    if columns.box_columns is None:
        return []
    normalised = columns.box_format.endswith("_normalised")
    shapes = _shapes(frame, columns.box_columns, "rois.box_columns", file)
    return [(row, BoxRegion(to_xyxy(box, columns.box_format), normalised)) for row, box in shapes]


def _ellipses(columns: RoiColumns, frame: pd.DataFrame, file: str) -> Found:
    if columns.ellipse_columns is None:
        return []
    shapes = _shapes(frame, columns.ellipse_columns, "rois.ellipse_columns", file)
    return [(row, EllipseRegion(to_xyxy(box, "xyxy"))) for row, box in shapes]


def _circles(columns: RoiColumns, frame: pd.DataFrame, file: str) -> Found:
    if columns.circle_columns is None:
        return []
    shapes = _shapes(frame, columns.circle_columns, "rois.circle_columns", file)
    negative = np.zeros(len(frame), dtype=np.bool_)
    negative[[row for row, (_, _, r) in shapes if r < 0]] = True
    if negative.any():
        radius = frame[columns.circle_columns[2]]
        raise ValueError(
            f"Expected a radius of 0 or more in column '{radius.name}' of '{file}' (data.rois.circle_columns) but it is "
            f"negative in {rows_in_words(radius, negative)}."
        )
    return [(row, EllipseRegion((x - r, y - r, x + r, y + r))) for row, (x, y, r) in shapes]


def _shapes(frame: pd.DataFrame, names: Sequence[str], setting: str, file: str) -> list[tuple[int, list[float]]]:
    """Return the row and numbers of each shape that is stated."""
    stated = np.flatnonzero(frame[list(names)].notna().any(axis=1))
    values = coordinates(frame.iloc[stated], names, f"'{file}' (data.{setting})")
    return list(zip(stated.tolist(), values.tolist(), strict=True))


def _mask_columns(columns: RoiColumns, frame: pd.DataFrame, root: Path) -> Found:
    return [
        (row, MaskRegion(root / str(path)))
        for name in columns.mask_columns
        for row, path in enumerate(frame[name])
        if pd.notna(path)
    ]


def _mask_pattern(columns: RoiColumns, frame: pd.DataFrame, root: Path) -> Found:
    """Return the masks that exist; a row with a blank cell in the pattern has none."""
    if columns.mask_pattern is None:
        return []
    cells = frame[list(columns.pattern_columns)]
    stated = np.flatnonzero(cells.notna().all(axis=1))
    paths = [root / _filled(columns.pattern, row) for row in cells.iloc[stated].to_dict("records")]
    found: Found = [(int(row), MaskRegion(path)) for row, path in zip(stated, paths, strict=True) if path.is_file()]
    if not found:
        example = f"like '{paths[-1]}' " if paths else ""
        raise ValueError(
            f"Expected mask files {example}but no sample has one. Check data.rois.mask_pattern and data.root."
        )
    return found


def _filled(pattern: Sequence[tuple[str, str | None]], cells: Mapping[Hashable, str]) -> str:
    return "".join(text + ("" if name is None else cells[name]) for text, name in pattern)
