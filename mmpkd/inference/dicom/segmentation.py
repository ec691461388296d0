"""Maps as a DICOM Segmentation, with one segment per map."""

from collections.abc import Mapping
from typing import Literal

import highdicom as hd
import numpy as np
import pydicom
from highdicom.sr import CodedConcept
from numpy.typing import NDArray
from pydicom.sr.codedict import codes

from mmpkd.inference.dicom.source import RESEARCH, SCHEME, Equipment, pixel_aspect_ratio

# half the range of a map, which is scaled to [0, 1]
THRESHOLD = 0.5


def segmentation(
    source: pydicom.Dataset,
    maps: Mapping[str, NDArray[np.float32]],
    equipment: Equipment,
    kind: Literal["fractional", "binary"],
) -> hd.seg.Segmentation:
    """Return maps of an image as a segmentation.

    Args:
        source: The image.
        maps: Float32 (height, width) in [0, 1] of the image, by name.
        equipment: Program that made the maps.
        kind: `fractional` stores the values in 255 steps; `binary` stores where they are at least `THRESHOLD`.
    """
    algorithm = hd.AlgorithmIdentificationSequence(
        name=equipment.model, family=codes.DCM.ArtificialIntelligence, version=str(equipment.serial)
    )
    descriptions = [
        hd.seg.SegmentDescription(
            segment_number=number,
            segment_label=name[:64],  # the limit of the VR LO
            segmented_property_category=codes.SCT.SpatialAndRelationalConcept,
            segmented_property_type=CodedConcept("attribution", SCHEME, "Where a student looks"),
            algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
            algorithm_identification=algorithm,
            tracking_uid=hd.UID(),
            tracking_id=name[:64],
        )
        for number, name in enumerate(maps, start=1)
    ]
    stacked = np.stack(list(maps.values()), axis=-1)[None]  # (1, height, width, segments)
    is_binary = kind == "binary"
    pixels = (stacked >= THRESHOLD).astype(np.uint8) if is_binary else stacked.astype(np.float32)
    made = hd.seg.Segmentation(
        source_images=[source],
        pixel_array=pixels,
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY
        if is_binary
        else hd.seg.SegmentationTypeValues.FRACTIONAL,
        segment_descriptions=descriptions,
        series_instance_uid=hd.UID(),
        series_number=101 if is_binary else 100,
        sop_instance_uid=hd.UID(),
        instance_number=1,
        series_description=f"Where a student looks ({kind}). {RESEARCH}"[:64],
        content_description=RESEARCH,
        content_label="ATTRIBUTION",
        omit_empty_frames=False,  # a map of zeros is a result, too
        **equipment.arguments(),
    )
    # a plane in space needs both
    if "ImageOrientationPatient" not in source or "ImagePositionPatient" not in source:
        _describe_projection(made, source)
    return made


def _describe_projection(made: hd.seg.Segmentation, source: pydicom.Dataset) -> None:
    """Set what the header of a projection says otherwise than that of a slice."""
    # it has no plane in space that would tell which side is left
    made.PatientOrientation = source.get("PatientOrientation", "")
    (shared,) = made.SharedFunctionalGroupsSequence
    # a spacing without an orientation is that of no plane: GDCM ends the program that reads it, and one in a frame of reference
    # needs the thickness of a slice; the image that the object refers to has the spacing
    if "PixelMeasuresSequence" in shared:
        del shared.PixelMeasuresSequence
    ratio = pixel_aspect_ratio(source)
    if ratio is not None:
        made.PixelAspectRatio = ratio
