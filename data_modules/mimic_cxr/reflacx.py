"""Ellipses of REFLACX (https://physionet.org/content/reflacx-xray-localization): marked by radiologists as they dictated."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from data_modules.columns import identifiers
from data_modules.files.folders import files_in
from data_modules.frames import frames_by_image
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
        "Support Devices": ("Support devices",),
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
    ),
)


def read_reflacx(folder: Path, label_names: Sequence[str], min_certainty: int) -> Annotations:
    """Read the ellipses, and join those of all readers and phases of an image.

    Args:
        folder: `main_data/`.
        label_names: The K labels.
        min_certainty: Smallest certainty that counts, from 1 (unlikely) to 5 (consistent with); 3 is "possibly".

    Returns:
        Ellipses in pixels of the original images.

    Raises:
        FileNotFoundError: If there is no table of any phase.
        ValueError: If a table lacks a column, or the tables state several sizes, or none, for an image.
    """
    tables = files_in([folder.parent], ("metadata_phase_*.csv", "metadata_phase_*.csv.gz"))
    if not tables:
        raise FileNotFoundError(f"Expected metadata_phase_1.csv to 3 in '{folder.parent}' but there is none of them.")
    readings = pd.concat(
        [read_table(path, ("id", "image", "image_size_x", "image_size_y")) for path in tables], ignore_index=True
    )
    for name in ("id", "image"):
        readings[name] = identifiers(readings[name], f"column '{name}' of the tables of '{folder.parent}', joined")
    readings["dicom_id"] = readings["image"].map(lambda path: Path(path).stem)
    frames = frames_by_image(
        readings["dicom_id"], readings["image_size_y"], readings["image_size_x"], "rows of REFLACX"
    )
    rows: list[tuple[str, str, Region]] = []
    without = 0
    for reading, image in zip(readings["id"], readings["dicom_id"], strict=True):
        path = folder / reading / "anomaly_location_ellipses.csv"
        if path.is_file():
            rows += [(image, finding, region) for finding, region in _ellipses(path, min_certainty)]
        else:
            without += 1
    rois = join_regions(rows, label_names, frames)
    counts = {"readings_without_ellipses": without}
    return Annotations(rois, frozenset(readings["dicom_id"]), VOCABULARY.labels, frames, counts)


def _ellipses(path: Path, min_certainty: int) -> Iterator[tuple[str, Region]]:
    frame = read_table(path, ("xmin", "ymin", "xmax", "ymax", "certainty"))
    frame = frame[frame["certainty"] >= min_certainty]
    for row in frame.to_dict("records"):
        region = EllipseRegion((float(row["xmin"]), float(row["ymin"]), float(row["xmax"]), float(row["ymax"])))
        # a column for each finding, true where the ellipse marks it
        named = [str(name) for name, value in row.items() if str(value).lower() in ("true", "1", "1.0")]
        for label in dict.fromkeys(label for name in named for label in VOCABULARY.labels_of(name)):
            yield label, region
