"""Regions of interest of MIMIC-CXR, from any of the collections that annotate it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from data_modules.geometry import Size
from data_modules.regions import Roi

RoiSource = Literal["ms_cxr", "imagenome_gold", "imagenome_silver", "reflacx", "none"]


@dataclass(frozen=True)
class Annotations:
    """What one collection says about images.

    Attributes:
        rois: Regions of the findings among the labels, by dicom_id.
        annotated: All images that the collection has a region of, whatever the finding.
        frames: (height, width) of annotated images, where the collection states it.
        counts: What was left out.
    """

    rois: Mapping[str, tuple[Roi, ...]]
    annotated: frozenset[str]
    frames: Mapping[str, Size] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)


def find_folder(root: Path, name: str) -> Path | None:
    """Return a folder of that name in a folder or in one of its direct subfolders, or None."""
    return next((path for path in (root / name, *sorted(root.glob(f"*/{name}"))) if path.is_dir()), None)
