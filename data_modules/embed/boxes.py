"""Boxes of EMBED, whose coordinates are pixels of the DICOM files or of mirrored PNG files, depending on the release."""

import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from data_modules.embed.files import Frame
from data_modules.embed.mirroring import were_mirrored
from data_modules.frames import annotated_frames, frames_by_image
from data_modules.images.geometry import Size, to_xyxy
from data_modules.images.regions import BoxRegion, Roi, mirror

# newer tables have both
BOXES_IN: dict[Frame, str] = {"dicom": "DCM_ROI_coords", "png": "PNG_ROI_coords"}
BOXES = "ROI_coords"
_CELL = re.compile(r"[\s\d.,()\[\]-]*")
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


def box_column(columns: Iterable[object], roi_frame: Frame | None, image_frame: Frame) -> tuple[str, Frame]:
    """Return the column with boxes, and the frame that they are in.

    Args:
        columns: Columns of the metadata table.
        roi_frame: Frame of `ROI_coords` as set by the user, or None.
        image_frame: The frame of the image files.

    Raises:
        ValueError: If there is no such column, or its frame is unknown.
    """
    names = [str(name) for name in columns]
    if BOXES_IN[image_frame] in names:
        return BOXES_IN[image_frame], image_frame
    if BOXES not in names:
        raise ValueError(
            f"Expected the column '{BOXES}' or '{BOXES_IN[image_frame]}' in the metadata table of EMBED but found neither. "
            "Restore the table, or set data.with_regions to false."
        )
    if roi_frame is None:
        raise ValueError(
            f"Expected data.roi_frame to say which pixels '{BOXES}' of this release are but it is not set. Set it to 'png' for "
            "the open release (tables of 2023), or to 'dicom' for tables whose documentation says pixels of the DICOM file."
        )
    return BOXES, roi_frame


def advise(column: str, roi_frame: Frame) -> str:
    """Return advice on settings for boxes of a column that do not lie on the breast."""
    if column != BOXES:
        return f"Check that the images are EMBED's own: '{column}' fits no mirrored copy."
    other = "dicom" if roi_frame == "png" else "png"
    return (
        f"Set data.roi_frame to '{other}'. If that is refused, too, use the complete metadata table, with Patient Orientation, "
        "or set data.with_regions to false."
    )


def read_boxes(cell: object, inclusive: bool = False) -> tuple[BoxRegion, ...]:
    """Return the boxes in a cell, lists of ymin, xmin, ymax, xmax nested in any way; a blank cell has none.

    Args:
        cell: For example `[[20, 10, 30, 25]]` or `((20, 10, 30, 25),)`.
        inclusive: Whether the last row and column belong to the box.

    Raises:
        ValueError: If it holds anything but groups of four numbers.
    """
    if not isinstance(cell, str):
        return ()
    numbers = [float(number) for number in _NUMBER.findall(cell)]
    if len(numbers) % 4 or not _CELL.fullmatch(cell):
        raise ValueError(f"Expected boxes as lists of ymin, xmin, ymax, xmax in a table of EMBED but got '{cell}'.")
    boxes = [to_xyxy(numbers[i : i + 4], "yxyx") for i in range(0, len(numbers), 4)]
    # our boxes are half-open
    more = float(inclusive)
    return tuple(BoxRegion((x0, y0, x1 + more, y1 + more)) for x0, y0, x1, y1 in boxes)


def read_rois(
    images: pd.DataFrame, column: str, roi_frame: Frame, image_frame: Frame, annotation_size: Path | None
) -> tuple[dict[str, Roi], dict[str, int]]:
    """Return the boxes of each image of a breast with cancer, in the frame of its file.

    Args:
        images: Rows of the metadata table, with `name`, `file`, `laterality`, `view` and `label`.
        column: The column with boxes.
        roi_frame: The frame that they are in.
        image_frame: The frame of the image files.
        annotation_size: Table with the sizes of the DICOM files, or None.

    Returns:
        ROIs by name of the image, and how many images have boxes without cancer, or mirrored ones.

    Raises:
        ValueError: If a cell holds no boxes, or the size of the annotated images is not known.
    """
    # `ROI_coords` in pixels of the DICOM file name the last row and column of a box
    boxes = images[column].map(lambda cell: read_boxes(cell, column == BOXES and roi_frame == "dicom"))
    boxed = boxes.map(bool)
    malignant = images["label"] == 1
    counts = {"boxes_without_cancer": int((boxed & ~malignant).sum())}
    images = images[boxed & malignant]
    boxes = boxes[boxed & malignant]
    mirrored = np.zeros(len(images), dtype=np.bool_)
    if roi_frame != image_frame:
        mirrored, counts["boxes_mirrored_by_side"] = were_mirrored(images, images["file"].tolist())
        counts["boxes_mirrored"] = int(mirrored.sum())
    frames = _frames(images, annotation_size)
    rois = {}
    for name, own, turned in zip(images["name"], boxes, mirrored, strict=True):
        roi = Roi(0, own, frames.get(name))
        rois[name] = mirror(roi) if turned else roi
    return rois, counts


def _frames(images: pd.DataFrame, annotation_size: Path | None) -> dict[str, Size]:
    """Return the sizes of the DICOM files, as far as a table states them."""
    if annotation_size is None and {"Rows", "Columns"} <= set(images.columns):
        return frames_by_image(images["name"], images["Rows"], images["Columns"], "rows of the metadata table")
    files = dict(zip(images["name"], images["file"], strict=True))
    return annotated_frames(files, annotation_size, "data.annotation_size")
