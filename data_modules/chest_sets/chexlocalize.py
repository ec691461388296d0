"""CheXlocalize: radiologists' segmentations of the validation and test sets of CheXpert."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from data_modules.base import License
from data_modules.columns import binary_column, check_names, identifiers
from data_modules.evaluation import Annotated, EvaluationReader
from data_modules.files.csv_file import read_csv
from data_modules.files.folders import find_base, find_file
from data_modules.files.json_file import read_json
from data_modules.files.layout import as_published
from data_modules.images.geometry import Size
from data_modules.images.mask_regions import RLERegion
from data_modules.images.regions import PolygonRegion, Region
from data_modules.mimic_cxr.labels import FINDINGS, RENAMED

# an entry of an image beside its findings
SIZE = "img_size"
# names of the folder of a split in the releases
FOLDERS = {"val": ("valid", "val"), "test": ("test",)}


class CheXlocalize(EvaluationReader):
    """234 (validation) or 668 (test) radiographs of CheXpert with ten findings segmented by radiologists.

    Access: registration with Stanford AIMI, research use (https://stanfordaimi.azurewebsites.net, "CheXlocalize"). Its
    images and labels are those of CheXpert's validation and test sets.

    Cite: Saporta et al., "Benchmarking saliency methods for chest X-ray interpretation", Nature Machine Intelligence 4:867,
    2022, https://doi.org/10.1038/s42256-022-00536-x; Irvin et al., "CheXpert", AAAI 2019,
    https://arxiv.org/abs/1901.07031.

    Read before use: contours are filled one by one and joined. The encoded masks hold all ten findings of every image;
    empty ones are not regions. "Airspace Opacity" is CheXpert's "Lung Opacity". Frontal images only.

    Args:
        root: Folder with the annotations, the labels and the images; each in this folder or below.
        split: CheXpert's validation or test set. Do not tune anything on the test set.
        annotation: `contours` (gt_annotations), or `masks` (gt_segmentations, run-length encoded).
    """

    license: ClassVar[License] = "credentialed"
    roi_area: ClassVar[float] = 0.15

    def __init__(
        self, root: Path, split: Literal["val", "test"] = "test", annotation: Literal["contours", "masks"] = "contours"
    ) -> None:
        self.root = Path(root)
        self.split = split
        self.annotation = annotation

    def read(self) -> Annotated:
        """Read labels and regions."""
        path = find_file(self.root, f"{self.split}_labels.csv")
        labels = read_csv(path).rename(columns=RENAMED)
        check_names(("Path",), [str(name) for name in labels.columns], f"columns of '{path}'")
        labels["Path"] = identifiers(labels["Path"], f"column 'Path' of '{path.name}'")
        # patient, study and view, as the annotations name images
        keys = labels["Path"].map(lambda path: "_".join(Path(path).with_suffix("").parts[-3:]))
        frontal = keys.str.endswith("frontal")
        labels = labels[frontal]
        keys = keys[frontal]
        kind = "annotations" if self.annotation == "contours" else "segmentations"
        annotations = find_file(self.root, f"gt_{kind}_{self.split}.json")
        content: dict[str, dict[str, Any]] = read_json(annotations)
        # a finding without a column is not annotated
        names = tuple(name for name in FINDINGS if name in labels)
        with as_published(annotations):
            frames = {key: _frame(value) for key, value in content.items()}
            regions = [item for key, value in content.items() for item in _regions(key, value)]
        drawn = {name for value in content.values() for name in value if name != SIZE}
        unknown = [key for key, value in content.items() if value and frames[key] is None]
        if unknown:
            raise ValueError(
                f"Expected '{SIZE}' of each image in 'gt_{kind}_{self.split}.json' but '{unknown[0]}' has none."
            )
        return Annotated(
            sample_id=keys.tolist(),
            patient_id=keys.str.split("_").str[0].tolist(),
            files=self._files([Path(path) for path in labels["Path"]]),
            names=names,
            labels=np.stack(
                [binary_column(labels[name], f"column '{name}' of '{path.name}'") for name in names], axis=1
            ),
            regions=regions,
            frames={key: frame for key, frame in frames.items() if frame is not None},
            unknown_names=sorted(drawn.difference(FINDINGS, RENAMED)),
        )

    def _files(self, paths: Sequence[Path]) -> list[Path]:
        """Return where images lie, whatever the folder of the split is called."""
        for files in self._forms(paths):
            base = find_base(self.root, files)
            if base is not None:
                return [base / file for file in files]
        return [self.root / path for path in paths]

    def _forms(self, paths: Sequence[Path]) -> Iterator[Sequence[Path]]:
        """Yield the paths as the labels state them (`CheXpert-v1.0/valid/patient...`, `test/patient...`), and as copies do."""
        yield paths
        inside = [Path(*path.parts[-3:]) for path in paths]  # patient, study, file
        for name in FOLDERS[self.split]:
            yield [Path(name) / path for path in inside]


def _frame(value: dict[str, Any]) -> Size | None:
    # contours state the size of their image, masks their own
    size = value.get(SIZE) or next((mask["size"] for mask in value.values() if isinstance(mask, dict)), None)
    return None if size is None else (int(size[0]), int(size[1]))


def _regions(key: str, value: dict[str, Any]) -> Iterator[tuple[str, str, Region]]:
    for name, drawn in value.items():
        if name == SIZE:
            continue
        finding = RENAMED.get(name, name)
        if isinstance(drawn, dict):
            region = RLERegion((int(drawn["size"][0]), int(drawn["size"][1])), _counts(drawn["counts"]))
            if region.decode().any():
                yield key, finding, region
        else:
            for contour in drawn:
                yield key, finding, PolygonRegion(tuple((float(x), float(y)) for x, y in contour))


def _counts(counts: str | list[int]) -> str | tuple[int, ...]:
    return counts if isinstance(counts, str) else tuple(counts)
