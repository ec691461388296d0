"""Outputs about an image besides its probabilities."""

import argparse
from typing import Protocol

from mmpkd.inference.dicom.files import DicomFiles
from mmpkd.inference.image_files import Named
from mmpkd.inference.map_files import MapFiles
from mmpkd.inference.maps import METHODS, check_findings
from mmpkd.inference.predictions import FilePrediction
from mmpkd.students import TrainedStudent


class Output(Protocol):
    """An output that is written for each image."""

    def has(self, file: Named) -> bool:
        """Return whether the output exists already, or is not written for this file."""
        ...

    def write(self, found: FilePrediction) -> None:
        """Write the output; do nothing for a file that cannot be read."""
        ...


def outputs_of(trained: TrainedStudent, sha256: str, options: argparse.Namespace) -> list[Output]:
    """Return the outputs to write besides probabilities.

    Args:
        trained: The student.
        sha256: SHA-256 of the student's weights.
        options: Arguments of `mmpkd infer`.

    Raises:
        ValueError: If a finding is not among the student's labels, or a package is missing.
    """
    check_findings(trained, options.finding)
    methods = [METHODS[name]() for name in options.attribution]
    outputs: list[Output] = []
    if options.maps:
        outputs.append(MapFiles(options.out, trained, methods, options.finding, options.maps))
    if options.dicom:
        outputs.append(DicomFiles(options.out, trained, sha256, methods, options.finding, options.dicom))
    return outputs
