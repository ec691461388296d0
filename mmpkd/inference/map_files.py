"""Maps of each image, as numbers or drawn over the image."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data_modules.files.atomic import replacing
from mmpkd.attribution import AttributionMethod
from mmpkd.inference.figures import most_probable, write_figure
from mmpkd.inference.image_files import Named
from mmpkd.inference.maps import ImageMap, findings_to_show, maps_of
from mmpkd.inference.predictions import FilePrediction
from mmpkd.students import TrainedStudent


class MapFiles:
    """Writes maps into `maps/`: as numbers (`raw`, one `.npz` per image), drawn over the image (`drawn`, `.png`), or both.

    Args:
        folder: Folder of the predictions.
        trained: The student.
        methods: Attributions.
        findings: Findings for maps that are specific to one; None takes the recognised ones.
        kinds: `raw`, `drawn`, or both.
    """

    def __init__(
        self,
        folder: Path,
        trained: TrainedStudent,
        methods: Sequence[AttributionMethod],
        findings: Sequence[str] | None,
        kinds: Sequence[str],
    ) -> None:
        self._folder = folder / "maps"
        self._trained = trained
        self._methods = methods
        self._findings = findings
        self._kinds = kinds

    def has(self, file: Named) -> bool:
        """Return whether the maps of a file exist."""
        return all(self._path(file, kind).is_file() for kind in self._kinds)

    def write(self, found: FilePrediction) -> None:
        """Write the maps of a file."""
        if found.probability is None or found.pixels is None or found.placement is None:
            return
        maps = computed_maps(self._trained, self._methods, found, self._findings)
        self._folder.mkdir(parents=True, exist_ok=True)
        if "raw" in self._kinds:
            _save(self._path(found.file, "raw"), {one.key: one.values for one in maps})
        if "drawn" in self._kinds:
            title = most_probable(self._trained, found.probability)
            write_figure(self._path(found.file, "drawn"), found.pixels, found.placement, maps, title)

    def _path(self, file: Named, kind: str) -> Path:
        return self._folder / f"{file.name}.{'npz' if kind == 'raw' else 'png'}"


def computed_maps(
    trained: TrainedStudent,
    methods: Sequence[AttributionMethod],
    found: FilePrediction,
    findings: Sequence[str] | None,
) -> list[ImageMap]:
    """Compute the maps of a file that could be read."""
    assert found.pixels is not None
    assert found.probability is not None
    image = trained.normalised(found.pixels).to(next(trained.student.parameters()).device)
    return maps_of(trained, methods, image, findings_to_show(trained, found.probability, findings))


def _save(path: Path, arrays: dict[str, NDArray[np.float32]]) -> None:
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]  # NumPy takes one of them for its own flag
