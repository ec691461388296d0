"""Boxes of MS-CXR (https://physionet.org/content/ms-cxr)."""

import json
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from data_modules.columns import identifiers
from data_modules.geometry import to_xyxy
from data_modules.mimic_cxr.files import find_tables, read_table
from data_modules.mimic_cxr.rois import Annotations
from data_modules.regions import BoxRegion, join_regions

# A file of release 0.1 is named 1.0.0: the name tells no version.
PATTERN = "MS_CXR_Local_Alignment_v*"
COLUMNS = ("dicom_id", "category_name", "x", "y", "w", "h", "image_width", "image_height")


def read_ms_cxr(root: Path, label_names: Sequence[str]) -> Annotations | None:
    """Read the boxes of MS-CXR from its CSV file, else from its JSON file.

    MS-CXR's own split column, where there is one, is never used: it contradicts the split of MIMIC-CXR.

    Args:
        root: Folder of MS-CXR, or the one above.
        label_names: The K labels.

    Returns:
        Boxes in pixels of the original images, joined by image and finding; None if there is no file.

    Raises:
        ValueError: If the file lacks a column.
    """
    tables, documents = find_tables(root, f"{PATTERN}.csv"), find_tables(root, f"{PATTERN}.json")
    if tables:
        frame = read_table(tables[-1], COLUMNS)
    elif documents:
        frame = _read_coco(documents[-1])
    else:
        return None
    sizes = frame.drop_duplicates("dicom_id")
    frames = {
        str(name): (int(height), int(width))
        for name, height, width in zip(sizes["dicom_id"], sizes["image_height"], sizes["image_width"], strict=True)
    }
    names = identifiers(frame["dicom_id"], "column 'dicom_id' of MS-CXR").tolist()
    findings = frame["category_name"].astype(str).tolist()
    numbers = frame[["x", "y", "w", "h"]].to_numpy(dtype=float).tolist()
    rows = (
        (name, finding, BoxRegion(to_xyxy(box, "xywh", frames[name])))
        for name, finding, box in zip(names, findings, numbers, strict=True)
    )
    return Annotations(join_regions(rows, label_names, frames), frozenset(names), frames, {"boxes": len(frame)})


def _read_coco(path: Path) -> pd.DataFrame:
    """Return the JSON file (COCO: images, annotations, categories) in the columns of the CSV file."""
    content = json.loads(path.read_text())
    missing = [name for name in ("images", "annotations", "categories") if name not in content]
    if missing:
        raise ValueError(f"Expected images, annotations and categories in '{path}' but {missing} are missing.")
    images = {image["id"]: image for image in content["images"]}
    categories = {category["id"]: category["name"] for category in content["categories"]}
    rows = []
    for annotation in content["annotations"]:
        image = images[annotation["image_id"]]
        # the size stands with the image or with the annotation
        width, height = (image.get(name, annotation.get(name)) for name in ("width", "height"))
        name = Path(image.get("path") or image["file_name"]).stem
        rows.append([name, categories[annotation["category_id"]], *annotation["bbox"], width, height])
    return pd.DataFrame(rows, columns=list(COLUMNS))
