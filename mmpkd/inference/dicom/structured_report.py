"""Probabilities as a DICOM Structured Report: TID 1500, with one TID 1501 group per finding."""

from collections.abc import Sequence

import highdicom as hd
import pydicom
from highdicom.sr import CodedConcept
from pydicom.sr.codedict import codes

from data_modules.labels import metric_name
from mmpkd.inference.dicom.source import MANUFACTURER, SCHEME, Equipment


def structured_report(
    source: pydicom.Dataset,
    findings: Sequence[tuple[str, float, bool]],
    equipment: Equipment,
) -> hd.sr.EnhancedSR:
    """Return a report on an image.

    Args:
        source: The image, which the report refers to as evidence.
        findings: Name and probability of each finding, and whether the probability reaches its threshold.
        equipment: Program that made the report.
    """
    observer = hd.sr.ObserverContext(
        observer_type=codes.DCM.Device,
        observer_identifying_attributes=hd.sr.DeviceObserverIdentifyingAttributes(
            uid=hd.UID(), manufacturer_name=MANUFACTURER, model_name=equipment.model, serial_number=equipment.serial
        ),
    )
    report = hd.sr.MeasurementReport(
        observation_context=hd.sr.ObservationContext(observer_device_context=observer),
        procedure_reported=codes.SCT.ImagingProcedure,
        imaging_measurements=[_group(source, *finding) for finding in findings],
        title=codes.DCM.ImagingMeasurementReport,
    )
    return hd.sr.EnhancedSR(
        evidence=[source],
        content=report[0],  # a report is a sequence of one container
        series_instance_uid=hd.UID(),
        series_number=103,
        sop_instance_uid=hd.UID(),
        instance_number=1,
        manufacturer=MANUFACTURER,
        is_complete=True,
        is_verified=False,  # no person has confirmed it
        series_description="Probabilities. For research only, not for clinical use",
    )


def _group(
    source: pydicom.Dataset, name: str, probability: float, is_above: bool
) -> hd.sr.MeasurementsAndQualitativeEvaluations:
    image = hd.sr.SourceImageForMeasurementGroup.from_source_image(source)
    return hd.sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=hd.sr.TrackingIdentifier(uid=hd.UID(), identifier=name),
        # a code value has at most 16 characters (VR SH), and its meaning 64 (VR LO)
        finding_type=CodedConcept(metric_name(name)[:16], SCHEME, name[:64]),
        source_images=[image],
        measurements=[
            hd.sr.Measurement(
                name=CodedConcept("probability", SCHEME, "Probability"),
                value=round(probability, 6),
                unit=codes.UCUM.NoUnits,
            )
        ],
        qualitative_evaluations=[
            hd.sr.QualitativeEvaluation(
                name=CodedConcept("above", SCHEME, "Probability reaches its threshold"),
                value=codes.SCT.Yes if is_above else codes.SCT.No,
            )
        ],
    )
