"""DICOM objects about each predicted DICOM file, in `dicom/`."""

import importlib.util
import logging
import warnings
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray

from data_modules.files.atomic import replacing
from data_modules.images.dicom import is_dicom
from data_modules.images.image_file import read_image
from mmpkd.attribution import AttributionMethod
from mmpkd.inference.dicom.source import DicomSourceError, Equipment, in_source, read_source
from mmpkd.inference.image_files import Named
from mmpkd.inference.map_files import computed_maps
from mmpkd.inference.predictions import FilePrediction
from mmpkd.students import TrainedStudent


def check_dicom_packages() -> None:
    """Check that DICOM objects can be written.

    Raises:
        ValueError: If highdicom is missing.
    """
    if importlib.util.find_spec("highdicom") is None:
        raise ValueError(
            "Expected the package highdicom for --dicom but it is not installed. Install it: pip install 'mmpkd[dicom]'."
        )


def _reason(error: Exception) -> str:
    """Return why highdicom refuses a header; it asks for elements as for attributes of Python."""
    missing = getattr(error, "name", None)
    if isinstance(error, AttributeError) and missing:
        return f"{missing} is missing"
    # pydicom adds a traceback of several lines
    return next(iter(str(error).splitlines()), "") or type(error).__name__


class DicomFiles:
    """Writes DICOM objects about each DICOM file; other files get none.

    Args:
        folder: Folder of the predictions.
        trained: The student.
        sha256: SHA-256 of the student's weights.
        methods: Attributions; the secondary capture shows the first map.
        findings: Findings for maps that are specific to one; None takes the recognised ones.
        kinds: One or more of `fractional`, `binary`, `capture` and `report`.
    """

    def __init__(
        self,
        folder: Path,
        trained: TrainedStudent,
        sha256: str,
        methods: Sequence[AttributionMethod],
        findings: Sequence[str] | None,
        kinds: Sequence[str],
    ) -> None:
        check_dicom_packages()
        logging.getLogger("highdicom").setLevel(logging.WARNING)  # it logs every element that it copies
        self._folder = folder / "dicom"
        self._trained = trained
        # the header holds at most 64 characters of a model's name (VR LO)
        self._equipment = Equipment(str(trained.student.settings["model_name"])[:64], sha256[:16])
        self._methods = methods
        self._findings = findings
        self._kinds = kinds

    def has(self, file: Named) -> bool:
        """Return whether the objects about a file exist, or none will be written for it."""
        return all(self._path(file, kind).is_file() for kind in self._kinds) or not is_dicom(file.path)

    def write(self, found: FilePrediction) -> None:
        """Write the missing objects about a file.

        Raises:
            DicomSourceError: If the header of the file lacks elements that they must refer to; those that do not need them are
                written.
        """
        if found.probability is None or not is_dicom(found.file.path):
            return
        missing = [kind for kind in self._kinds if not self._path(found.file, kind).is_file()]
        source = read_source(found.file.path)
        # a report shows no maps, which take further passes of the student
        maps = self._maps(found) if set(missing) - {"report"} else {}
        errors = []
        for kind in missing:
            try:
                self._write(kind, source, maps, found)
            except DicomSourceError as error:
                errors.append(error)
        if errors:
            raise errors[0]

    def _write(self, kind: str, source: Any, maps: dict[str, NDArray[np.float32]], found: FilePrediction) -> None:
        try:
            # values of the image are copied, whatever their form
            with pydicom.config.disable_value_validation(), warnings.catch_warnings():
                warnings.filterwarnings("ignore", "The string .* is unlikely to represent the intended person name")
                # into memory, so that errors of the disk are not taken for those of a header
                content = BytesIO()
                self._made(kind, source, maps, found).save_as(content, enforce_file_format=True)
        except MemoryError:
            raise
        # highdicom and pydicom raise nearly anything for a header that they refuse
        except Exception as error:
            raise DicomSourceError(
                f"Expected a header of '{found.file.path}' that a DICOM {kind} can refer to but: {_reason(error)}"
            ) from error
        with replacing(self._path(found.file, kind)) as temporary:
            temporary.write_bytes(content.getvalue())

    def _maps(self, found: FilePrediction) -> dict[str, NDArray[np.float32]]:
        assert found.placement is not None
        placement = found.placement
        maps = computed_maps(self._trained, self._methods, found, self._findings)
        return {one.heading: in_source(one.values, placement) for one in maps}

    def _made(self, kind: str, source: Any, maps: dict[str, NDArray[np.float32]], found: FilePrediction) -> Any:
        makers: dict[str, Callable[[], Any]] = {
            "fractional": lambda: self._segmentation(source, maps, "fractional"),
            "binary": lambda: self._segmentation(source, maps, "binary"),
            "capture": lambda: self._capture(source, maps, found),
            "report": lambda: self._report(source, found),
        }
        return makers[kind]()

    def _segmentation(self, source: Any, maps: dict[str, NDArray[np.float32]], kind: Any) -> Any:
        # imported here, because highdicom is an optional package
        from mmpkd.inference.dicom.segmentation import segmentation

        return segmentation(source, maps, self._equipment, kind)

    def _capture(self, source: Any, maps: dict[str, NDArray[np.float32]], found: FilePrediction) -> Any:
        from mmpkd.inference.dicom.secondary_capture import secondary_capture

        pixels, _ = read_image(found.file.path, grey_range=self._trained.known_preparation.grey_range)
        name, values = next(iter(maps.items()))
        return secondary_capture(source, pixels, values, name, self._equipment)

    def _report(self, source: Any, found: FilePrediction) -> Any:
        from mmpkd.inference.dicom.structured_report import structured_report

        assert found.probability is not None
        trained = self._trained
        rows = zip(trained.label_names, found.probability.tolist(), trained.thresholds.tolist(), strict=True)
        findings = [(name, value, value >= threshold) for name, value, threshold in rows]
        return structured_report(source, findings, self._equipment)

    def _path(self, file: Named, kind: str) -> Path:
        return self._folder / f"{file.name}_{kind}.dcm"
