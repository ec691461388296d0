"""Ellipses of REFLACX (https://physionet.org/content/reflacx-xray-localization): marked by radiologists as they dictated."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data_modules.columns import binary_column, coordinates, identifiers, to_numbers
from data_modules.files.folders import files_in
from data_modules.frames import frames_by_image
from data_modules.images.geometry import to_xyxy
from data_modules.images.regions import EllipseRegion, Region, join_regions
from data_modules.mimic_cxr.files import read_table
from data_modules.mimic_cxr.rois import Annotations
from data_modules.vocabulary import Vocabulary

# Phase 1 has other names than phases 2 and 3, but a name that occurs in several phases means the same in all.
VOCABULARY = Vocabulary(
    stated={
        "Atelectasis": ("Atelectasis",),
        "Cardiomegaly": ("Enlarged cardiac silhouette",),
        "Consolidation": ("Consolidation",),
        "Edema": ("Pulmonary edema",),
        "Enlarged Cardiomediastinum": ("Abnormal mediastinal contour", "Wide mediastinum"),
        "Fracture": ("Acute fracture", "Fracture"),
        "Lung Lesion": ("Lung nodule or mass", "Mass", "Nodule"),
        "Lung Opacity": ("Groundglass opacity", "Interstitial lung disease"),
        "Pleural Effusion": ("Pleural effusion",),
        "Pleural Other": ("Pleural thickening",),
        "Pneumothorax": ("Pneumothorax",),
    },
    # phases 2 and 3 do not separate effusion from thickening, and fibrosis may be of lung or pleura, so these have no region
    unresolved={
        "Lung Opacity": ("Airway wall thickening", "Fibrosis"),
        "Pleural Effusion": ("Pleural abnormality",),
        "Pleural Other": ("Fibrosis", "Pleural abnormality"),
    },
    others=(
        "Emphysema",
        "Enlarged hilum",
        "Hiatal hernia",
        "High lung volume / emphysema",
        "Other",
        "Quality issue",
        # radiologists were asked not to mark them
        "Support devices",
    ),
)
CORNERS = ("xmin", "ymin", "xmax", "ymax")
TABLES = ("metadata_phase_*.csv", "metadata_phase_*.csv.gz")


def read_reflacx(folder: Path, label_names: Sequence[str], min_certainty: int) -> Annotations:
    """Read the ellipses, and join those of all readers and phases of an image.

    Args:
        folder: `main_data/`, with the tables of the phases in it or beside it.
        label_names: The K labels.
        min_certainty: Smallest certainty that counts, from 1 (unlikely) to 5 (consistent with); 3 is "possibly".

    Returns:
        Ellipses in pixels of the original images.

    Raises:
        FileNotFoundError: If there is no table of any phase.
        ValueError: If a table lacks a column, a cell does not hold what it should, or the tables state several sizes, or none,
            for an image.
    """
    tables = files_in([folder], TABLES) or files_in([folder.parent], TABLES)
    if not tables:
        raise FileNotFoundError(f"Expected metadata_phase_1.csv to 3 in '{folder}' but there is none of them.")
    readings = pd.concat(
        [read_table(path, ("id", "image", "image_size_x", "image_size_y")) for path in tables], ignore_index=True
    )
    for name in ("id", "image"):
        readings[name] = identifiers(readings[name], f"column '{name}' of the tables of '{folder}', joined")
    readings["dicom_id"] = readings["image"].map(lambda path: Path(path).stem)
    frames = frames_by_image(
        readings["dicom_id"], readings["image_size_y"], readings["image_size_x"], "rows of REFLACX"
    )
    rows: list[tuple[str, str, Region]] = []
    without = unknown = 0
    for reading, image in zip(readings["id"], readings["dicom_id"], strict=True):
        path = folder / reading / "anomaly_location_ellipses.csv"
        if path.is_file():
            for names, region in _ellipses(path, min_certainty):
                labels = dict.fromkeys(label for name in names for label in VOCABULARY.labels_of(name))
                rows += [(image, label, region) for label in labels]
                unknown += not VOCABULARY.names.issuperset(names)
        else:
            without += 1
    rois = join_regions(rows, label_names, frames)
    counts = {"readings_without_ellipses": without, "ellipses_of_unknown_findings": unknown}
    return Annotations(rois, frozenset(readings["dicom_id"]), VOCABULARY.labels, frames, counts)


def _ellipses(path: Path, min_certainty: int) -> Iterator[tuple[list[str], Region]]:
    """Yield the ellipses that are certain enough, each with the names of its findings."""
    columns = (*CORNERS, "certainty")
    frame = read_table(path, columns)
    numbers = coordinates(frame, columns, f"'{path}'").tolist()
    # a column for each finding, true where the ellipse marks it
    marked = {str(name): _marked(frame[name], path) for name in frame.columns if name not in columns}
    for row, (*corners, certainty) in enumerate(numbers):
        if certainty >= min_certainty:
            yield [name for name, own in marked.items() if own[row]], EllipseRegion(to_xyxy(corners, "xyxy"))


def _marked(column: "pd.Series[str]", path: Path) -> NDArray[np.bool_]:
    """Return which ellipses a column marks; one that states no label may hold something else."""
    name = str(column.name)
    if VOCABULARY.labels_of(name):
        values = binary_column(column, f"column '{name}' of '{path}'", may_be_blank=False)
    else:
        values = to_numbers(column).astype(np.float32)
    return np.asarray(values == 1, dtype=np.bool_)
