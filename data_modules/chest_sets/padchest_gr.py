"""PadChest-GR: grounded reports, each finding with boxes."""

import json
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from data_modules.base import License
from data_modules.columns import check_names
from data_modules.csv_file import read_csv
from data_modules.evaluation import Annotated, EvaluationReader, find_file
from data_modules.geometry import BoxFormat, to_xyxy
from data_modules.regions import BoxRegion, Region

REPORTS = "grounded_reports_*.json"
VOCABULARY = {
    "atelectasis": "Atelectasis",
    "laminar atelectasis": "Atelectasis",
    "atelectasis basal": "Atelectasis",
    "lobar atelectasis": "Atelectasis",
    "cardiomegaly": "Cardiomegaly",
    "consolidation": "Consolidation",
    "pulmonary edema": "Edema",
    "mediastinal enlargement": "Enlarged Cardiomediastinum",
    "superior mediastinal enlargement": "Enlarged Cardiomediastinum",
    "fracture": "Fracture",
    "rib fracture": "Fracture",
    "clavicle fracture": "Fracture",
    "nodule": "Lung Lesion",
    "multiple nodules": "Lung Lesion",
    "mass": "Lung Lesion",
    "pulmonary mass": "Lung Lesion",
    "alveolar pattern": "Lung Opacity",
    "infiltrates": "Lung Opacity",
    "ground glass pattern": "Lung Opacity",
    "increased density": "Lung Opacity",
    "pleural effusion": "Pleural Effusion",
    "loculated pleural effusion": "Pleural Effusion",
    "pleural thickening": "Pleural Other",
    "apical pleural thickening": "Pleural Other",
    "pneumonia": "Pneumonia",
    "pneumothorax": "Pneumothorax",
    "hydropneumothorax": "Pneumothorax",
    "pacemaker": "Support Devices",
    "endotracheal tube": "Support Devices",
    "nsg tube": "Support Devices",
    "central venous catheter": "Support Devices",
    "chest drain tube": "Support Devices",
}


class PadChestGR(EvaluationReader):
    """4,555 radiographs of PadChest whose reports are split into findings, with boxes of up to two readers.

    Access: request to BIMCV (https://bimcv.cipf.es/bimcv-projects/padchest-gr/). The images come as
    `PadChest_GR.zip.001` to `.037`, parts of one archive that are joined byte by byte.

    Cite: de Castro et al., "PadChest-GR: a bilingual chest X-ray dataset for grounded radiology report generation", NEJM AI
    2025, https://arxiv.org/abs/2411.05085; Bustos et al., "PadChest", Medical Image Analysis 66:101797, 2020.

    Read before use: boxes are fractions of the image, and those of both readers are joined. A finding that no sentence names
    counts as absent. Findings without a box have a label and no region.

    Args:
        root: Folder with the reports, `master_table.csv` and the images.
        split: The set's own split by patient, or all of it.
        box_format: What the four numbers of a box are.
    """

    license: ClassVar[License] = "credentialed"
    roi_area: ClassVar[float] = 0.15

    def __init__(
        self,
        root: Path,
        split: Literal["train", "validation", "test", "all"] = "all",
        box_format: BoxFormat = "xyxy_normalised",
    ) -> None:
        self.root, self.split, self.box_format = Path(root), split, box_format

    def read(self) -> Annotated:
        """Read reports, table and boxes."""
        table = read_csv(find_file(self.root, "master_table.csv"), dtype=str)
        check_names(
            ("ImageID", "PatientID", "split"), [str(name) for name in table.columns], "columns of 'master_table.csv'"
        )
        table = table.drop_duplicates("ImageID").set_index("ImageID")
        if self.split != "all":
            table = table[table["split"] == self.split]
        studies = [
            study for study in json.loads(find_file(self.root, REPORTS).read_text()) if study["ImageID"] in table.index
        ]
        names = tuple(dict.fromkeys(VOCABULARY.values()))
        labels = np.zeros((len(studies), len(names)), dtype=np.float32)
        regions: list[tuple[str, str, Region]] = []
        unknown: set[str] = set()
        for row, study in enumerate(studies):
            # a sentence about normal anatomy has neither labels nor boxes
            for finding in study["findings"]:
                own = [str(name).lower() for name in finding.get("labels") or ()]
                unknown |= {name for name in own if name not in VOCABULARY}
                known = dict.fromkeys(VOCABULARY[name] for name in own if name in VOCABULARY)
                drawn = [*(finding.get("boxes") or ()), *(finding.get("extra_boxes") or ())]
                for name in known:
                    labels[row, names.index(name)] = 1
                    regions += [
                        (study["ImageID"], name, BoxRegion(to_xyxy(box, self.box_format), True)) for box in drawn
                    ]
        images = [str(study["ImageID"]) for study in studies]
        folder = next(
            (self.root / name for name in ("PadChest_GR", "images") if (self.root / name).is_dir()), self.root
        )
        return Annotated(
            sample_id=images,
            patient_id=table.loc[images, "PatientID"].tolist(),
            files=[folder / name for name in images],
            names=names,
            labels=labels,
            regions=regions,
            counts={"names_without_a_label": len(unknown)},
        )
