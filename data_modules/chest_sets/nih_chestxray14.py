"""NIH ChestX-ray14: boxes of eight findings."""

from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import pandas as pd

from data_modules.base import License
from data_modules.csv_file import read_csv
from data_modules.evaluation import Annotated, EvaluationReader, find_file, merge_names
from data_modules.geometry import to_xyxy
from data_modules.regions import BoxRegion

# An infiltrate is any opacity of the lung; the box list and the table spell it differently.
VOCABULARY = {
    "Atelectasis": "Atelectasis",
    "Cardiomegaly": "Cardiomegaly",
    "Consolidation": "Consolidation",
    "Edema": "Edema",
    "Mass": "Lung Lesion",
    "Nodule": "Lung Lesion",
    "Infiltrate": "Lung Opacity",
    "Infiltration": "Lung Opacity",
    "No Finding": "No Finding",
    "Effusion": "Pleural Effusion",
    "Pleural_Thickening": "Pleural Other",
    "Pneumonia": "Pneumonia",
    "Pneumothorax": "Pneumothorax",
}
FRAME = (1024, 1024)
# the header reads `Bbox [x,y,w,h]`, which a CSV reader takes for four names
BOX = ["Bbox [x", "y", "w", "h]"]
TABLES = ("Data_Entry_2017*.csv", "Data_Entry*.csv")


class NIHChestXray14(EvaluationReader):
    """112,120 radiographs with labels mined from reports; 880 of them have 984 boxes of eight findings.

    Access: open, without restrictions on use (https://nihcc.app.box.com/v/ChestXray-NIHCC); acknowledge the NIH Clinical
    Center.

    Cite: Wang et al., "ChestX-ray8: hospital-scale chest X-ray database and benchmarks", CVPR 2017,
    https://arxiv.org/abs/1705.02315.

    Read before use: labels come from reports by rules, and two versions of the table differ in 181 of them. All boxed images
    are in the official test list. RSNA's pneumonia challenge has images of this set: do not train on one and test on the
    other. A few files are RGBA.

    Args:
        root: Folder with `Data_Entry_2017*.csv`, `BBox_List_2017.csv` and the images in `images/` or `images_*/images/`.
        images: The boxed images, or the whole official test list (`test_list.txt`).
    """

    license: ClassVar[License] = "open"
    roi_area: ClassVar[float] = 0.15

    def __init__(self, root: Path, images: Literal["boxed", "test_list"] = "boxed") -> None:
        self.root, self.images = Path(root), images

    def read(self) -> Annotated:
        """Read labels and boxes."""
        boxes = read_boxes(find_file(self.root, "BBox_List_2017.csv"))
        # the header splits `OriginalImage[Width,Height]` in two, and rows end with an empty cell in one version
        table = read_csv(self._table(), index_col=False, dtype={"Image Index": str, "Patient ID": str})
        if self.images == "boxed":
            chosen = set(boxes["Image Index"])
        else:
            chosen = set(find_file(self.root, "test_list.txt").read_text().split())
        table = table[table["Image Index"].isin(chosen)].drop_duplicates("Image Index")
        found = table["Finding Labels"].str.get_dummies("|")
        labels, names = merge_names(found.to_numpy(dtype=np.float32), found.columns.tolist(), VOCABULARY)
        rows = boxes[["Image Index", "Finding Label", *BOX]].itertuples(index=False)
        return Annotated(
            sample_id=table["Image Index"].tolist(),
            patient_id=table["Patient ID"].astype(str).tolist(),
            files=self._files(table["Image Index"].tolist()),
            names=names,
            labels=labels,
            regions=[
                (str(image), VOCABULARY[name], BoxRegion(to_xyxy(box, "xywh", FRAME))) for image, name, *box in rows
            ],
            frames=dict.fromkeys(boxes["Image Index"], FRAME),
            counts={"images_without_a_row": len(chosen) - len(table)},
            strata={"view": table["View Position"].fillna("").tolist()} if "View Position" in table else {},
        )

    def _table(self) -> Path:
        # the newest version by name: 2017_v2020 comes after 2017
        found = [path for pattern in TABLES for path in sorted(self.root.glob(pattern))]
        return found[-1] if found else find_file(self.root, TABLES[0])

    def _files(self, names: list[str]) -> list[Path]:
        folders = [self.root / "images", *sorted(self.root.glob("images_*/images")), self.root]
        files = {path.name: path for folder in folders[:-1] if folder.is_dir() for path in folder.iterdir()}
        return [files.get(name, folders[0] / name) for name in names]


def read_boxes(path: Path) -> pd.DataFrame:
    """Read the list of boxes.

    Returns:
        `Image Index`, `Finding Label`, and x, y, w, h in pixels of 1,024 under the names that the header gives them.

    Raises:
        ValueError: If a finding is not one of the eight.
    """
    boxes = read_csv(path, index_col=False, usecols=["Image Index", "Finding Label", *BOX])
    unknown = sorted(set(boxes["Finding Label"]) - set(VOCABULARY))
    if unknown:
        raise ValueError(f"Expected the findings {sorted(VOCABULARY)} in '{path}' but found {unknown}.")
    return boxes
