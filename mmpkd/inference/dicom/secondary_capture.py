"""A map drawn over its image, as a DICOM Secondary Capture, which every viewer can show."""

import cv2
import highdicom as hd
import numpy as np
import pydicom
from matplotlib import colormaps
from numpy.typing import NDArray

from mmpkd.inference.dicom.source import RESEARCH, Equipment, pixel_aspect_ratio

# where the map is 1; the image stays visible below it
_OPACITY = 0.45


def secondary_capture(
    source: pydicom.Dataset,
    pixels: NDArray[np.float32],
    values: NDArray[np.float32],
    name: str,
    equipment: Equipment,
) -> hd.sc.SCImage:
    """Return a colour image of a map drawn over its image.

    Args:
        source: The image.
        pixels: Grey values of the image, float32 (height, width) in [0, 1].
        values: The map, float32 (height, width) in [0, 1].
        name: Name of the map.
        equipment: Program that made the map.
    """
    colours = colormaps["inferno"](values)[..., :3]
    weight = _OPACITY * values[..., None]
    mixed = (1 - weight) * pixels[..., None] + weight * colours
    overlay = np.ascontiguousarray((255 * mixed).round().astype(np.uint8))
    _write_words(overlay, name)
    captured = hd.sc.SCImage.from_ref_dataset(
        ref_dataset=source,
        pixel_array=overlay,
        photometric_interpretation=hd.PhotometricInterpretationValues.RGB,
        bits_allocated=8,
        coordinate_system=hd.CoordinateSystemNames.PATIENT,
        series_instance_uid=hd.UID(),
        series_number=102,  # 100 to 103, a number for each kind of object
        sop_instance_uid=hd.UID(),
        instance_number=1,
        manufacturer=equipment.arguments()["manufacturer"],
        patient_orientation=("L", "P"),  # highdicom requires one even if it is unknown: see below
        transfer_syntax_uid=pydicom.uid.ExplicitVRLittleEndian,
        series_description=f"{name}. {RESEARCH}"[:64],
    )
    captured.PatientOrientation = source.get("PatientOrientation", "")
    ratio = pixel_aspect_ratio(source)
    if ratio is not None:
        captured.PixelAspectRatio = ratio  # viewers show it in the shape of the image
    captured.Laterality = _laterality(source)
    captured.BurnedInAnnotation = "YES"
    captured.DerivationDescription = f"{name} of {equipment.model} over the image. {RESEARCH}"
    captured.SourceImageSequence = [_reference(source)]
    return captured


def _laterality(source: pydicom.Dataset) -> str:
    """Return L or R, or nothing where the image shows neither or both sides."""
    # mammograms and digital radiographs have ImageLaterality, which may also be U (unpaired) or B (both)
    stated = source.get("Laterality") or source.get("ImageLaterality")
    return str(stated) if stated in ("L", "R") else ""


def _reference(source: pydicom.Dataset) -> pydicom.Dataset:
    item = pydicom.Dataset()
    item.ReferencedSOPClassUID = source.SOPClassUID
    item.ReferencedSOPInstanceUID = source.SOPInstanceUID
    return item


def _write_words(overlay: NDArray[np.uint8], name: str) -> None:
    """Write a description into the picture itself, because copies often lose the header."""
    scale = max(0.3, overlay.shape[0] / 1000)
    for line, text in enumerate((name, RESEARCH), start=1):
        place = (4, round(22 * scale * line) + 2)
        cv2.putText(overlay, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.6 * scale, (255, 255, 255), 1, cv2.LINE_AA)
