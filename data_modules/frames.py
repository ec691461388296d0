"""Sizes of the images that annotations were drawn on, and a check that the image files agree with them."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from data_modules.columns import check_names, identifiers
from data_modules.files.csv_file import read_csv
from data_modules.images.dicom import is_dicom
from data_modules.images.geometry import Size
from data_modules.images.image_file import read_size
from data_modules.images.mask_regions import MaskRegion, check_scale
from data_modules.images.regions import Roi
from data_modules.split import Split

# names of height and width: ours, and those of the tables that come with resized copies on Kaggle
SIZE_COLUMNS = (("height", "width"), ("dim0", "dim1"))
# images of a split whose headers are read before any long work; `mmpkd check-data` reads all
NUM_CHECKED = 20


def frames_by_image(
    images: Iterable[object], heights: Iterable[Any], widths: Iterable[Any], what: str
) -> dict[str, Size]:
    """Return the size of every image in the rows of a table.

    Args:
        images: Image of each row; several rows of one image agree.
        heights: Its height in pixels, as numbers or text.
        widths: Its width.
        what: A description of the rows for messages, for example "rows of 'boxes.csv'".

    Returns:
        (height, width) by image.

    Raises:
        ValueError: If a size is not two positive whole numbers, or an image has several.
    """
    frames: dict[str, Size] = {}
    columns = (pd.to_numeric(pd.Series(list(values), dtype=object), errors="coerce") for values in (heights, widths))
    for image, height, width in zip(images, *columns, strict=True):
        # comparisons with NaN are false, so what is no number is refused as well
        if not (height >= 1 and width >= 1 and height % 1 == width % 1 == 0):
            raise ValueError(
                f"Expected the {what} to state the height and width of their image in whole pixels but those of '{image}' are "
                f"{height} and {width}. Restore the table."
            )
        size = (int(height), int(width))
        if frames.setdefault(str(image), size) != size:
            raise ValueError(
                f"Expected the {what} to state one size of each image but those of '{image}' state {frames[str(image)]} and "
                f"{size} (height, width). Restore the table."
            )
    return frames


def read_annotation_size(path: Path) -> dict[str, Size]:
    """Read the sizes of annotated images from a table of your own, or one that comes with a resized copy.

    Args:
        path: CSV file with the columns `image_id`, `height` and `width`, or `image_id`, `dim0` (height) and `dim1` (width).

    Returns:
        (height, width) by image.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If a column is missing, an image is blank, or a size is not two positive whole numbers.
    """
    table = read_csv(path, dtype=str)
    names = [str(name) for name in table.columns]
    height, width = next((pair for pair in SIZE_COLUMNS if set(pair) <= set(names)), SIZE_COLUMNS[0])
    check_names(("image_id", height, width), names, f"columns of '{path}'")
    images = identifiers(table["image_id"], f"column 'image_id' of '{path}'")
    return frames_by_image(images, table[height], table[width], f"rows of '{path}'")


def annotated_frames(files: Mapping[str, Path], annotation_size: Path | None, setting: str) -> dict[str, Size]:
    """Return the sizes of the images that regions were drawn on, where a data set does not state them.

    The DICOM files of such a set are the annotated images themselves. A copy in another format may have been resized,
    cropped or squeezed, and needs a table.

    Args:
        files: The file of each image that has a region.
        annotation_size: A table as for `read_annotation_size`, or None.
        setting: Name of that setting on the command line, for messages.

    Returns:
        (height, width) by image; empty without a table.

    Raises:
        ValueError: If files are copies and there is no table, or it lacks an image.
    """
    copies = [path for path in files.values() if not is_dicom(path)]
    if annotation_size is None and copies:
        raise ValueError(
            f"Expected the annotated DICOM files, or the sizes of them, but '{copies[0]}' is a copy: regions cannot be placed on "
            f"it. Set {setting} to a CSV file with image_id, height and width of the originals (or Kaggle's image_id, dim0 and "
            "dim1), or with_regions to false to go on without regions."
        )
    if annotation_size is None:
        return {}
    frames = read_annotation_size(Path(annotation_size))
    missing = [name for name in files if name not in frames]
    if missing:
        raise ValueError(
            f"Expected the sizes of all {len(files)} images with a region in '{annotation_size}' but {len(missing)} are missing, "
            f"for example '{missing[0]}'. Complete the table."
        )
    return frames


def check_frames(split: Split) -> None:
    """Check on some images, evenly spread, that regions can be placed on the image files. Reads headers only.

    Raises:
        ImageReadError: If a file is no copy of the annotated image at another scale, or a mask no copy of its image.
    """
    rows = sorted(split.rois)
    spread = np.linspace(0, len(rows) - 1, min(NUM_CHECKED, len(rows))).round().astype(int)
    for row in [rows[position] for position in spread]:
        if split.image[row].is_file():
            _check_image(split.image[row], split.rois[row])


def _check_image(path: Path, rois: tuple[Roi, ...]) -> None:
    masks = [(roi, region) for roi in rois for region in roi.regions if isinstance(region, MaskRegion)]
    if not masks and all(roi.frame is None or roi.squeezed for roi in rois):
        return  # no size is stated, so the file cannot contradict it
    size = read_size(path)
    for roi in rois:
        if roi.frame is not None and not roi.squeezed:
            check_scale(f"the image '{path}'", size, roi.frame)
    for roi, region in masks:
        check_scale(f"the mask '{region.path}'", read_size(region.path), roi.frame or size)
