"""NIH ChestX-ray14: boxes of eight findings."""

from pathlib import Path
from typing import ClassVar, Literal

import pandas as pd

from data_modules.base import License
from data_modules.columns import check_names, coordinates, identifiers
from data_modules.evaluation import Annotated, EvaluationReader
from data_modules.files.csv_file import read_csv
from data_modules.files.folders import find_file, walk_folders
from data_modules.images.geometry import to_xyxy
from data_modules.images.regions import BoxRegion
from data_modules.vocabulary import Vocabulary

# the box list and the table spell an infiltrate differently; fibrosis may be of the lung or of the pleura
VOCABULARY = Vocabulary(
    stated={
        "Atelectasis": ("Atelectasis",),
        "Cardiomegaly": ("Cardiomegaly",),
        "Consolidation": ("Consolidation",),
        "Edema": ("Edema",),
        "Lung Lesion": ("Mass", "Nodule"),
        "Lung Opacity": ("Infiltrate", "Infiltration"),
        "No Finding": ("No Finding",),
        "Pleural Effusion": ("Effusion",),
        "Pleural Other": ("Pleural_Thickening",),
        "Pneumonia": ("Pneumonia",),
        "Pneumothorax": ("Pneumothorax",),
    },
    unresolved={"Lung Opacity": ("Fibrosis",), "Pleural Other": ("Fibrosis",)},
    others=("Emphysema", "Hernia"),
)
FRAME = (1024, 1024)
# the header has `Bbox [x,y,w,h]`, which a CSV reader splits into four names
BOX = ["Bbox [x", "y", "w", "h]"]


class NIHChestXray14(EvaluationReader):
    """112,120 radiographs with labels mined from reports; 880 of them have 984 boxes of eight findings.

    Access: open, without restrictions on use (https://nihcc.app.box.com/v/ChestXray-NIHCC); acknowledge the NIH Clinical
    Center.

    Cite: Wang et al., "ChestX-ray8: hospital-scale chest X-ray database and benchmarks", CVPR 2017,
    https://arxiv.org/abs/1705.02315.

    Read before use: labels were mined from reports by rules, and two versions of the table differ in 181 of them; the newer
    one is read if both are there. All boxed images are in the official test list. RSNA's pneumonia challenge has images of this
    set: do not train on one and test on the other. A few files are RGBA. There are 14 findings and "No Finding"; fractures,
    devices and an enlarged mediastinum are not among them. An infiltrate counts as Lung Opacity, a consolidation alone does not.
    Fibrosis may affect the lung or the pleura: without another name for them, Lung Opacity and Pleural Other are then unknown
    (NaN).

    Args:
        root: Folder with `Data_Entry_2017*.csv`, `BBox_List_2017.csv` and the images in `images/` or `images_*/images/`; each
            in this folder or below.
        images: The boxed images, or the whole official test list (`test_list.txt`).
    """

    license: ClassVar[License] = "open"
    roi_area: ClassVar[float] = 0.15

    def __init__(self, root: Path, images: Literal["boxed", "test_list"] = "boxed") -> None:
        self.root = Path(root)
        self.images = images

    def read(self) -> Annotated:
        """Read labels and boxes."""
        boxes = read_boxes(find_file(self.root, "BBox_List_2017.csv"))
        # the header splits `OriginalImage[Width,Height]` in two, and rows end with an empty cell in one version
        # the newest version by name: 2017_v2020 sorts after 2017
        path = find_file(self.root, "Data_Entry*.csv")
        table = read_csv(path, dtype=str)
        for name in ("Image Index", "Finding Labels", "Patient ID"):
            table[name] = identifiers(table[name], f"column '{name}' of '{path.name}'")
        if self.images == "boxed":
            chosen = set(boxes["Image Index"])
        else:
            chosen = set(find_file(self.root, "test_list.txt").read_text(encoding="utf-8").split())
        table = table[table["Image Index"].isin(chosen)].drop_duplicates("Image Index")
        found = [set(text.split("|")) for text in table["Finding Labels"]]
        check_names(sorted(set().union(*found)), sorted(VOCABULARY.names), f"findings of '{path.name}'")
        boxes = boxes[boxes["Image Index"].isin(table["Image Index"])]
        rows = zip(boxes["Image Index"], boxes["Finding Label"], boxes[BOX].to_numpy(dtype=float).tolist(), strict=True)
        return Annotated(
            sample_id=table["Image Index"].tolist(),
            patient_id=table["Patient ID"].tolist(),
            files=self._files(table["Image Index"].tolist()),
            names=VOCABULARY.labels,
            labels=VOCABULARY.read(found),
            regions=[
                (str(image), label, BoxRegion(to_xyxy(box, "xywh", FRAME)))
                for image, name, box in rows
                for label in VOCABULARY.labels_of(name)
            ],
            frames=dict.fromkeys(boxes["Image Index"], FRAME),
            counts={"images_without_a_row": len(chosen) - len(table)},
            strata={"view": table["View Position"].fillna("").tolist()} if "View Position" in table else {},
        )

    def _files(self, names: list[str]) -> list[Path]:
        """Return where images lie: in `images/`, in twelve folders `images_*/images/`, or directly in the root."""
        folders = [folder for level in walk_folders(self.root) for folder in level if folder.name == "images"]
        # the nearest last, so that a resized copy farther down does not take its place
        files = {path.name: path for folder in reversed((self.root, *folders)) for path in folder.iterdir()}
        return [files.get(name, self.root / "images" / name) for name in names]


def read_boxes(path: Path) -> pd.DataFrame:
    """Read the list of boxes.

    Returns:
        `Image Index`, `Finding Label`, and x, y, w, h in pixels of 1,024 under the names that the header gives them.

    Raises:
        ValueError: If a column is missing, a row has more cells than the header, a finding is not one of the data set's, or
            a cell is blank.
    """
    columns = ["Image Index", "Finding Label", *BOX]
    # all columns: with `usecols`, pandas ignores a cell too many, behind which all others belong to the next column
    table = read_csv(path, dtype=str)
    check_names(columns, [str(name) for name in table.columns], f"columns of '{path.name}'")
    boxes = table[columns].copy()
    for name in ("Image Index", "Finding Label"):
        boxes[name] = identifiers(boxes[name], f"column '{name}' of '{path.name}'")
    check_names(sorted(set(boxes["Finding Label"])), sorted(VOCABULARY.names), f"findings of '{path.name}'")
    boxes[BOX] = coordinates(boxes, BOX, f"'{path.name}'")
    return boxes
