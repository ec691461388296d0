"""Regions of interest of MIMIC-CXR, from any of the collections that annotate it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from data_modules.images.geometry import Size
from data_modules.images.regions import Roi

RoiSource = Literal["ms_cxr", "imagenome_gold", "imagenome_silver", "reflacx", "none"]
RoiSplit = Literal["official", "all"]


@dataclass(frozen=True)
class RoiOptions:
    """Regions that are scored; every patient with a region in any collection that is found is held out of training.

    Attributes:
        root: Folder of the collections, or of one of them; a folder that holds none is refused. By default they are searched
            for in the folder of the images; if there are none, there are no regions, and nobody is held out of training. Of
            several versions of a collection, the newest is scored, and patients of all are held out. The log says what was
            found.
        source: Collection whose regions are scored: boxes of `ms_cxr`, ellipses of `reflacx`, or anatomical regions, not
            lesions, of Chest ImaGenome (`imagenome_gold`, or the automatic `imagenome_silver`).
        split: `official` scores annotated images of the official validation and test splits only; `all` moves every
            annotated patient to the test split, for about seven times as many regions of MS-CXR.
        min_certainty: Smallest certainty of an ellipse of REFLACX, from 1 (unlikely) to 5; 3 is "possibly".
    """

    root: Path | None = None
    source: RoiSource = "ms_cxr"
    split: RoiSplit = "official"
    min_certainty: int = 3


@dataclass(frozen=True)
class Annotations:
    """Annotations of images by one collection.

    Attributes:
        rois: Regions of the findings among the labels, by dicom_id.
        annotated: All images with a region in the collection, whatever the finding.
        frames: (height, width) of annotated images, where the collection states it.
        counts: Numbers of what was left out, by reason.
        labels: The labels for which the collection has names; no image has a region of another label.
    """

    rois: Mapping[str, tuple[Roi, ...]]
    annotated: frozenset[str]
    labels: tuple[str, ...]
    frames: Mapping[str, Size] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
