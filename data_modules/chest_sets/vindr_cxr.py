"""VinDr-CXR: boxes of three readers (training) or of a consensus (test)."""

from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import pandas as pd

from data_modules.base import License
from data_modules.columns import check_names
from data_modules.csv_file import read_csv
from data_modules.evaluation import Annotated, EvaluationReader, find_file, merge_names
from data_modules.geometry import to_xyxy
from data_modules.regions import BoxRegion, Region

VOCABULARY = {
    "Atelectasis": "Atelectasis",
    "Cardiomegaly": "Cardiomegaly",
    "Consolidation": "Consolidation",
    "Edema": "Edema",
    "Mediastinal shift": "Enlarged Cardiomediastinum",
    "Clavicle fracture": "Fracture",
    "Rib fracture": "Fracture",
    "Lung cavity": "Lung Lesion",
    "Lung cyst": "Lung Lesion",
    "Lung tumor": "Lung Lesion",
    "Nodule/Mass": "Lung Lesion",
    "Infiltration": "Lung Opacity",
    "Lung Opacity": "Lung Opacity",
    "No finding": "No Finding",
    "Pleural effusion": "Pleural Effusion",
    "Pleural thickening": "Pleural Other",
    "Pneumonia": "Pneumonia",
    "Pneumothorax": "Pneumothorax",
}
BOX = ("x_min", "y_min", "x_max", "y_max")
SUFFIXES = (".dicom", ".dcm", ".png", ".jpg")


class VinDrCXR(EvaluationReader):
    """18,000 frontal radiographs with 28 findings, 22 of them with boxes.

    Access: credentialed, from PhysioNet (https://physionet.org/content/vindr-cxr/1.0.0/).

    Cite: Nguyen et al., "VinDr-CXR: an open dataset of chest X-rays with radiologist's annotations", Scientific Data 9:429,
    2022, https://arxiv.org/abs/2012.15029.

    Read before use: each training image was read by three of 17 radiologists, who often disagree; the test set is a consensus
    of five. Patients are not told apart, so every image counts as one. Boxes are in pixels of the original DICOM image.

    Args:
        root: Folder with `annotations_*.csv`, `image_labels_*.csv` and the images in `test/` and `train/`.
        split: The set's own split.
        min_readers: Readers of a training image that must name a finding for it to be present, of three; those who do draw
            its region.
    """

    license: ClassVar[License] = "credentialed"
    roi_area: ClassVar[float] = 0.15

    def __init__(self, root: Path, split: Literal["train", "test"] = "test", min_readers: int = 1) -> None:
        if min_readers < 1:
            raise ValueError(f"Expected min_readers of 1 or more but got {min_readers}.")
        self.root, self.split, self.min_readers = Path(root), split, min_readers

    def read(self) -> Annotated:
        """Read labels and boxes."""
        table = read_csv(find_file(self.root, f"image_labels_{self.split}.csv"))
        names = [name for name in table.columns if name in VOCABULARY]
        votes = table.groupby("image_id", sort=True)[names].sum()
        required = self.min_readers if self.split == "train" else 1
        present = votes >= required
        labels, merged = merge_names(present.to_numpy(dtype=np.float32), names, VOCABULARY)
        images = votes.index.astype(str).tolist()
        folder = find_file(self.root, f"annotations_{self.split}.csv").parent
        return Annotated(
            sample_id=images,
            patient_id=images,
            files=self._files(images, folder),
            names=merged,
            labels=labels,
            regions=self._regions(present),
        )

    def _regions(self, present: pd.DataFrame) -> list[tuple[str, str, Region]]:
        path = find_file(self.root, f"annotations_{self.split}.csv")
        boxes = read_csv(path)
        check_names(
            ("image_id", "class_name", *BOX), [str(name) for name in boxes.columns], f"columns of '{path.name}'"
        )
        # "No finding" has a row without a box
        boxes = boxes.dropna(subset=list(BOX))
        rows = boxes[["image_id", "class_name", *BOX]].itertuples(index=False)
        return [
            (str(image), VOCABULARY[name], BoxRegion(to_xyxy(box, "xyxy")))
            for image, name, *box in rows
            if name in VOCABULARY and name in present and present.loc[image, name]
        ]

    def _files(self, images: list[str], tables: Path) -> list[Path]:
        """Return the file of each image, in whichever format the folder holds it."""
        folders = [base / self.split for base in (self.root, tables, tables.parent)]
        folder = next((path for path in folders if path.is_dir()), folders[0])
        suffix = next((s for s in SUFFIXES if next(folder.glob(f"*{s}"), None) is not None), SUFFIXES[0])
        return [folder / f"{name}{suffix}" for name in images]
