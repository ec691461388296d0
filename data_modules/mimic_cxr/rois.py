"""Regions of interest of MIMIC-CXR, from any of the collections that annotate it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from data_modules.images.geometry import Size
from data_modules.images.regions import Roi

RoiSource = Literal["ms_cxr", "imagenome_gold", "imagenome_silver", "reflacx", "none"]


@dataclass(frozen=True)
class Annotations:
    """What one collection says about images.

    Attributes:
        rois: Regions of the findings among the labels, by dicom_id.
        annotated: All images that the collection has a region of, whatever the finding.
        frames: (height, width) of annotated images, where the collection states it.
        counts: What was left out.
        labels: The labels that the collection has names for; no image has a region of another one.
    """

    rois: Mapping[str, tuple[Roi, ...]]
    annotated: frozenset[str]
    labels: tuple[str, ...]
    frames: Mapping[str, Size] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
