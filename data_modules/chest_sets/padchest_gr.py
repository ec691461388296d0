"""PadChest-GR: grounded reports, each finding with boxes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Literal

import pandas as pd

from data_modules.base import License
from data_modules.chest_sets.padchest_names import VOCABULARY
from data_modules.columns import check_names, identifiers
from data_modules.evaluation import Annotated, EvaluationReader
from data_modules.files.csv_file import read_csv
from data_modules.files.folders import find_base, find_file
from data_modules.files.json_file import load_json
from data_modules.files.layout import as_published
from data_modules.images.geometry import to_xyxy
from data_modules.images.regions import BoxRegion, Region

REPORTS = "grounded_reports_*.json"
SPLITS = ("train", "validation", "test")
TABLES = ("master_table.csv", "master_table.csv.zip", "master_table.csv.gz")


class PadChestGR(EvaluationReader):
    """4,555 radiographs of PadChest whose reports are split into findings, with boxes of up to two readers.

    Access: request to BIMCV (https://bimcv.cipf.es/bimcv-projects/padchest-gr/). The images come as
    `PadChest_GR.zip.001` to `.037`, parts of one archive that are joined byte by byte.

    Cite: de Castro et al., "PadChest-GR: a bilingual chest X-ray dataset for grounded radiology report generation", NEJM AI
    2025, https://arxiv.org/abs/2411.05085; Bustos et al., "PadChest", Medical Image Analysis 66:101797, 2020.

    Read before use:
    (1) Boxes are fractions of the image, so they also fit a copy that was squeezed as a whole, but not a cropped one, and the
    tables cannot reveal that. Boxes of both readers are joined. Findings without a box have a label and no region.
    (2) A finding that no sentence names counts as absent. Pneumonia, Edema and No Finding are outside the vocabulary and have
    no label: hilar congestion (78 rows) and Kerley lines are signs of edema, and nothing states where it is absent.
    (3) `data_modules/chest_sets/padchest_names.py` lists the names that count as a label, by the words of CheXpert's labeler:
    infiltrates, increased density, interstitial and reticular patterns are Lung Opacity; granulomas and cavities are Lung Lesion;
    tubes, catheters, pacemakers and artificial valves are Support Devices.
    (4) It also lists names that leave a label open: volume loss for Atelectasis, a blunted costophrenic angle for Pleural
    Effusion and Pleural Other, consolidation and fibrotic bands for Lung Opacity, compressed vertebrae for Fracture, and others.
    The label is then unknown (NaN), unless another name states it.

    Args:
        root: Folder with the reports, `master_table.csv` (or .csv.zip, as distributed) and the images; each in this
            folder or below.
        split: The set's own split by patient, or all of it.
        box_format: Meaning of the four numbers of a box.
    """

    license: ClassVar[License] = "credentialed"
    roi_area: ClassVar[float] = 0.15

    def __init__(
        self,
        root: Path,
        split: Literal["train", "validation", "test", "all"] = "all",
        box_format: Literal["xyxy_normalised", "xywh_normalised"] = "xyxy_normalised",
    ) -> None:
        self.root = Path(root)
        self.split = split
        self.box_format = box_format

    def read(self) -> Annotated:
        """Read reports, table and boxes."""
        everyone = self._table()
        table = everyone if self.split == "all" else everyone[everyone["split"] == self.split]
        path = find_file(self.root, REPORTS)
        with as_published(path):
            studies = load_json(path)
            without_row = sum(study["ImageID"] not in everyone.index for study in studies)
            reports = [study for study in studies if study["ImageID"] in table.index]
            images = [str(study["ImageID"]) for study in reports]
            found = [_names(study) for study in reports]
            regions = [region for study in reports for region in self._regions(study)]
        folder = find_base(self.root, images) or self.root
        return Annotated(
            sample_id=images,
            patient_id=table.loc[images, "PatientID"].tolist(),
            files=[folder / name for name in images],
            names=VOCABULARY.labels,
            labels=VOCABULARY.read(found),
            regions=regions,
            counts={
                "images_without_a_report": len(table) - len(set(images)),
                "reports_without_a_row": without_row,
            },
            unknown_names=sorted(set().union(*found) - VOCABULARY.names),
        )

    def _table(self) -> pd.DataFrame:
        """Return patient and split of every image, by image."""
        path = find_file(self.root, *TABLES)
        table = read_csv(path, dtype=str)
        columns = [str(name) for name in table.columns]
        check_names(("ImageID", "PatientID", "split"), columns, f"columns of '{path.name}'")
        for name in ("ImageID", "PatientID", "split"):
            table[name] = identifiers(table[name], f"column '{name}' of '{path.name}'")
        check_names(sorted(set(table["split"])), SPLITS, f"splits of '{path.name}'")
        return table.drop_duplicates("ImageID").set_index("ImageID")

    def _regions(self, study: dict[str, Any]) -> Iterator[tuple[str, str, Region]]:
        for finding in study["findings"]:
            labels = dict.fromkeys(label for name in _listed(finding) for label in VOCABULARY.labels_of(name))
            # of the first reader, and of the second
            boxes = [*(finding.get("boxes") or ()), *(finding.get("extra_boxes") or ())]
            for label in labels:
                for box in boxes:
                    yield study["ImageID"], label, BoxRegion(to_xyxy(box, self.box_format), True)


def _names(study: dict[str, Any]) -> set[str]:
    """Return the names of all findings of a report."""
    return {name for finding in study["findings"] for name in _listed(finding)}


def _listed(finding: dict[str, Any]) -> list[str]:
    """Return the names of one sentence; one about normal anatomy has neither names nor boxes."""
    return [str(name).strip().lower() for name in finding.get("labels") or ()]
