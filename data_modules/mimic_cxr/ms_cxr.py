"""Boxes of MS-CXR (https://physionet.org/content/ms-cxr)."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from data_modules.columns import coordinates, identifiers
from data_modules.files.folders import files_in
from data_modules.files.json_file import read_json
from data_modules.files.layout import as_published
from data_modules.frames import frames_by_image
from data_modules.images.geometry import to_xyxy
from data_modules.images.regions import BoxRegion, join_regions
from data_modules.mimic_cxr.files import read_table
from data_modules.mimic_cxr.labels import FINDINGS
from data_modules.mimic_cxr.rois import Annotations

# The file of release 0.1 is named 1.0.0, so the name does not tell the version.
PATTERN = "MS_CXR_Local_Alignment_v*"
MS_CXR_FINDINGS = (
    "Atelectasis",
    "Cardiomegaly",
    "Consolidation",
    "Edema",
    "Lung Opacity",
    "Pleural Effusion",
    "Pneumonia",
    "Pneumothorax",
)
COLUMNS = ("dicom_id", "category_name", "x", "y", "w", "h", "image_width", "image_height")


def find_ms_cxr(folders: Sequence[Path]) -> list[Path]:
    """Return the files of MS-CXR in some folders: CSV, and JSON where a version comes without CSV."""
    tables = files_in(folders, (f"{PATTERN}.csv", f"{PATTERN}.csv.gz"))
    versions = {path.with_name(path.name.split(".csv")[0]) for path in tables}
    documents = files_in(folders, (f"{PATTERN}.json",))
    return [*tables, *(path for path in documents if path.with_suffix("") not in versions)]


def read_ms_cxr(path: Path, label_names: Sequence[str]) -> Annotations:
    """Read the boxes of MS-CXR.

    MS-CXR's own split column, if there is one, is never used, since it contradicts the split of MIMIC-CXR.

    Args:
        path: Its CSV or JSON file.
        label_names: The K labels.

    Returns:
        Boxes in pixels of the original images.

    Raises:
        ValueError: If the file lacks a column or a cell, or states several sizes, or none, for an image.
    """
    frame = _read_coco(path) if path.suffix == ".json" else read_table(path, COLUMNS)
    names = identifiers(frame["dicom_id"], "column 'dicom_id' of MS-CXR").tolist()
    frames = frames_by_image(names, frame["image_height"], frame["image_width"], "rows of MS-CXR")
    findings = identifiers(frame["category_name"], "column 'category_name' of MS-CXR").tolist()
    numbers = coordinates(frame, ("x", "y", "w", "h"), "MS-CXR").tolist()
    rows = (
        (name, finding, BoxRegion(to_xyxy(box, "xywh", frames[name])))
        for name, finding, box in zip(names, findings, numbers, strict=True)
    )
    labels = tuple(dict.fromkeys((*MS_CXR_FINDINGS, *findings)))
    rois = join_regions(rows, label_names, frames)
    counts = {"boxes": len(frame), "boxes_of_unknown_findings": sum(name not in FINDINGS for name in findings)}
    return Annotations(rois, frozenset(names), labels, frames, counts)


def _read_coco(path: Path) -> pd.DataFrame:
    """Return the content of the JSON file (COCO: images, annotations, categories) under the columns of the CSV file."""
    content = read_json(path)
    missing = [name for name in ("images", "annotations", "categories") if name not in content]
    if missing:
        raise ValueError(f"Expected images, annotations and categories in '{path}' but {missing} are missing.")
    rows = []
    with as_published(path):
        images = {image["id"]: image for image in content["images"]}
        categories = {category["id"]: category["name"] for category in content["categories"]}
        for annotation in content["annotations"]:
            image = images[annotation["image_id"]]
            # the size is a field of the image or of the annotation, depending on the version
            width, height = (image.get(name, annotation.get(name)) for name in ("width", "height"))
            name = Path(image.get("path") or image["file_name"]).stem
            rows.append([name, categories[annotation["category_id"]], *annotation["bbox"], width, height])
        return pd.DataFrame(rows, columns=list(COLUMNS))
