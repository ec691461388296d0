"""Boxes of MS-CXR (https://physionet.org/content/ms-cxr)."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from data_modules.geometry import Box, to_xyxy
from data_modules.mimic_cxr.files import find_tables, read_table
from data_modules.regions import Roi
from data_modules.regions import boxes as box_regions

PATTERN = "MS_CXR_Local_Alignment_v*.csv"
_COLUMNS = ("dicom_id", "category_name", "x", "y", "w", "h", "image_width", "image_height")


def read_boxes(root: Path) -> pd.DataFrame | None:
    """Read the boxes, or return None if the folder has no MS-CXR file.

    MS-CXR's own split column is never used: it contradicts the split of MIMIC-CXR.

    Returns:
        One row a box with dicom_id, category_name and x, y, w, h in pixels of the original image.

    Raises:
        ValueError: If the file lacks a column.
    """
    found = find_tables(root, PATTERN)
    if not found:
        return None
    return read_table(found[-1], _COLUMNS)[list(_COLUMNS)]


def rois_of_images(boxes: pd.DataFrame, label_names: Sequence[str]) -> Mapping[str, tuple[Roi, ...]]:
    """Join the boxes of each image and finding; boxes of findings that are not among the labels are left out.

    Returns:
        ROIs by dicom_id.
    """
    rois: dict[str, dict[int, list[Box]]] = {}
    label = {name: position for position, name in enumerate(label_names)}
    for row in boxes[boxes["category_name"].isin(label)].to_dict("records"):
        size = (int(row["image_height"]), int(row["image_width"]))
        box = to_xyxy([row["x"], row["y"], row["w"], row["h"]], "xywh", size)
        rois.setdefault(row["dicom_id"], {}).setdefault(label[row["category_name"]], []).append(box)
    return {
        image: tuple(Roi(finding, box_regions(found)) for finding, found in sorted(findings.items()))
        for image, findings in rois.items()
    }


def check_frames(boxes: pd.DataFrame, metadata: pd.DataFrame) -> None:
    """Check that boxes refer to images of the size that the metadata state.

    Raises:
        ValueError: If sizes differ, as they do with pre-resized copies of the data set; boxes would be misplaced.
    """
    joined = boxes.merge(metadata[["dicom_id", "Rows", "Columns"]], on="dicom_id")
    wrong = (joined["image_height"] != joined["Rows"]) | (joined["image_width"] != joined["Columns"])
    if np.any(wrong):
        raise ValueError(
            f"Expected boxes in the frame of the original images but {int(wrong.sum())} of {len(joined)} boxes refer "
            f"to another size. Use the images of MIMIC-CXR-JPG, not a resized copy."
        )
