"""Ellipses of REFLACX (https://physionet.org/content/reflacx-xray-localization): radiologists marked what they dictated."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from data_modules.columns import identifiers
from data_modules.mimic_cxr.files import find_tables, read_table
from data_modules.mimic_cxr.rois import Annotations, find_folder
from data_modules.regions import EllipseRegion, Region, join_regions

# The names of phase 1 and of phases 2 and 3 differ; a name stands for the same finding in all phases that have it.
FINDINGS = {
    "Atelectasis": ("Atelectasis",),
    "Consolidation": ("Consolidation",),
    "Enlarged cardiac silhouette": ("Cardiomegaly",),
    "Pulmonary edema": ("Edema",),
    "Wide mediastinum": ("Enlarged Cardiomediastinum",),
    "Abnormal mediastinal contour": ("Enlarged Cardiomediastinum",),
    "Fracture": ("Fracture",),
    "Acute fracture": ("Fracture",),
    "Mass": ("Lung Lesion",),
    "Nodule": ("Lung Lesion",),
    "Lung nodule or mass": ("Lung Lesion",),
    "Groundglass opacity": ("Lung Opacity",),
    "Pleural effusion": ("Pleural Effusion",),
    "Pleural thickening": ("Pleural Other",),
    # phases 2 and 3 do not tell effusion from thickening: it is left out rather than guessed
    "Pleural abnormality": (),
    "Pneumothorax": ("Pneumothorax",),
    "Support devices": ("Support Devices",),
}


def read_reflacx(root: Path, label_names: Sequence[str], min_certainty: int) -> Annotations | None:
    """Read the ellipses; those of all readers and phases of an image are joined.

    Args:
        root: Folder of REFLACX, or the one above.
        label_names: The K labels.
        min_certainty: Smallest certainty that counts, from 1 (unlikely) to 5 (consistent with); 3 is "possibly".

    Returns:
        Ellipses in pixels of the original images; None if there is no `main_data/`.

    Raises:
        FileNotFoundError: If no table of a phase is there.
        ValueError: If a table lacks a column.
    """
    folder = find_folder(root, "main_data")
    if folder is None:
        return None
    tables = find_tables(folder.parent, "metadata_phase_*.csv")
    if not tables:
        raise FileNotFoundError(f"Expected metadata_phase_1.csv to 3 in '{folder.parent}' but there is none of them.")
    readings = pd.concat(
        [read_table(path, ("id", "image", "image_size_x", "image_size_y")) for path in tables], ignore_index=True
    )
    for name in ("id", "image"):
        readings[name] = identifiers(readings[name], f"column '{name}' of the tables of '{folder.parent}', joined")
    readings["dicom_id"] = readings["image"].map(lambda path: Path(path).stem)
    sizes = readings.drop_duplicates("dicom_id")
    frames = {
        str(name): (int(height), int(width))
        for name, height, width in zip(sizes["dicom_id"], sizes["image_size_y"], sizes["image_size_x"], strict=True)
    }
    rows: list[tuple[str, str, Region]] = []
    without = 0
    for reading, image in zip(readings["id"], readings["dicom_id"], strict=True):
        path = folder / reading / "anomaly_location_ellipses.csv"
        if path.is_file():
            rows += [(image, finding, region) for finding, region in _ellipses(path, min_certainty)]
        else:
            without += 1
    rois = join_regions(rows, label_names, frames)
    return Annotations(rois, frozenset(readings["dicom_id"]), frames, {"readings_without_ellipses": without})


def _ellipses(path: Path, min_certainty: int) -> Iterator[tuple[str, Region]]:
    frame = read_table(path, ("xmin", "ymin", "xmax", "ymax", "certainty"))
    frame = frame[frame["certainty"] >= min_certainty]
    for row in frame.to_dict("records"):
        region = EllipseRegion((float(row["xmin"]), float(row["ymin"]), float(row["xmax"]), float(row["ymax"])))
        for name, findings in FINDINGS.items():
            if str(row.get(name)).lower() in ("true", "1", "1.0"):
                yield from ((finding, region) for finding in findings)
