"""Regions of interest of MIMIC-CXR, from any of the collections that annotate it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from data_modules.geometry import Size
from data_modules.regions import Region, Roi

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


def join_regions(
    rows: Iterable[tuple[str, str, Region]], label_names: Sequence[str], frames: Mapping[str, Size]
) -> dict[str, tuple[Roi, ...]]:
    """Join the regions of each image and finding; findings that are not among the labels are left out.

    Args:
        rows: Image, finding and region.
        label_names: The K labels.
        frames: (height, width) of the annotated images that are known.

    Returns:
        ROIs by image.
    """
    number = {name: position for position, name in enumerate(label_names)}
    parts: dict[str, dict[int, list[Region]]] = {}
    for image, finding, region in rows:
        if finding in number:
            parts.setdefault(image, {}).setdefault(number[finding], []).append(region)
    return {
        image: tuple(Roi(label, tuple(own), frames.get(image)) for label, own in sorted(by_label.items()))
        for image, by_label in parts.items()
    }


def find_folder(root: Path, name: str) -> Path | None:
    """Return a folder of that name in a folder or in one of its direct subfolders, or None."""
    return next((path for path in (root / name, *sorted(root.glob(f"*/{name}"))) if path.is_dir()), None)
