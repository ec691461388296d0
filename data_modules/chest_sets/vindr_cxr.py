"""VinDr-CXR: boxes of three readers (training) or of a consensus (test)."""

from itertools import compress
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import pandas as pd

from data_modules.base import License
from data_modules.columns import binary_column, check_names, coordinates, identifiers
from data_modules.evaluation import Annotated, EvaluationReader
from data_modules.files.csv_file import read_csv
from data_modules.files.folders import find_base, find_file
from data_modules.frames import annotated_frames
from data_modules.images.geometry import to_xyxy
from data_modules.images.regions import BoxRegion, Region
from data_modules.vocabulary import Vocabulary

# a shifted mediastinum is not an enlarged one; fibrosis may be of the lung or of the pleura, a calcification may be a granuloma
VOCABULARY = Vocabulary(
    stated={
        "Atelectasis": ("Atelectasis",),
        "Cardiomegaly": ("Cardiomegaly",),
        "Consolidation": ("Consolidation",),
        "Edema": ("Edema",),
        "Fracture": ("Clavicle fracture", "Rib fracture"),
        "Lung Lesion": ("Lung cavity", "Lung cyst", "Lung tumor", "Nodule/Mass"),
        "Lung Opacity": ("ILD", "Infiltration", "Lung Opacity"),
        "No Finding": ("No finding",),
        "Pleural Effusion": ("Pleural effusion",),
        "Pleural Other": ("Pleural thickening",),
        "Pneumonia": ("Pneumonia",),
        "Pneumothorax": ("Pneumothorax",),
    },
    unresolved={
        "Lung Lesion": ("Calcification",),
        "Lung Opacity": ("Pulmonary fibrosis",),
        "Pleural Other": ("Pulmonary fibrosis",),
        "Pneumonia": ("Tuberculosis",),
    },
    others=(
        "Aortic enlargement",
        "COPD",
        "Emphysema",
        "Enlarged PA",
        "Mediastinal shift",
        "Other disease",
        "Other diseases",
        "Other lesion",
    ),
)
# names of findings that decide a label
NAMES = sorted(VOCABULARY.names - set(VOCABULARY.others))
BOX = ("x_min", "y_min", "x_max", "y_max")
SUFFIXES = (".dicom", ".dcm", ".png", ".jpg", "")


class VinDrCXR(EvaluationReader):
    """18,000 frontal radiographs with 28 findings, 22 of them with boxes.

    Access: credentialed, from PhysioNet (https://physionet.org/content/vindr-cxr/1.0.0/).

    Cite: Nguyen et al., "VinDr-CXR: an open dataset of chest X-rays with radiologist's annotations", Scientific Data 9:429,
    2022, https://arxiv.org/abs/2012.15029.

    Read before use: each training image was read by three of 17 radiologists, who often disagree; the test set is a consensus
    of five. Patients are not identified, so every image counts as one. Boxes are in pixels of the original DICOM image, whose
    size no table states: copies in other formats, such as the common PNG files of 512 x 512, need `annotation_size`. Devices
    and an enlarged mediastinum are outside the vocabulary (a mediastinal shift is something else). Interstitial disease ("ILD")
    and infiltration are Lung Opacity. Unknown (NaN) unless another name states them: Lung Opacity and Pleural Other of
    images with pulmonary fibrosis, Lung Lesion with a calcification, Pneumonia with tuberculosis.

    Args:
        root: Folder with `annotations_*.csv`, `image_labels_*.csv` and the images in `test/` and `train/`; each in this
            folder or below.
        split: The set's own split.
        min_readers: How many of the three readers of a training image must name a finding for it to be present; their boxes
            make up its region.
        annotation_size: CSV file with image_id, height and width of the original images (or image_id, dim0 and dim1), for
            copies in other formats.
        squeezed: Whether these copies show the whole image in other proportions: boxes are then placed by their fractions of
            its height and width.
        with_regions: Whether to read boxes. Without them, only labels are evaluated.
    """

    license: ClassVar[License] = "credentialed"
    roi_area: ClassVar[float] = 0.15

    def __init__(
        self,
        root: Path,
        split: Literal["train", "test"] = "test",
        min_readers: int = 1,
        annotation_size: Path | None = None,
        squeezed: bool = False,
        with_regions: bool = True,
    ) -> None:
        if min_readers < 1:
            raise ValueError(f"Expected min_readers of 1 or more but got {min_readers}.")
        self.root = Path(root)
        self.split = split
        self.min_readers = min_readers
        self.annotation_size = annotation_size
        self.squeezed = squeezed
        self.with_regions = with_regions

    def read(self) -> Annotated:
        """Read labels and boxes."""
        path = find_file(self.root, f"image_labels_{self.split}.csv")
        table = read_csv(path, dtype=str)
        check_names(("image_id", *NAMES), [str(name) for name in table.columns], f"columns of '{path.name}'")
        table["image_id"] = identifiers(table["image_id"], f"column 'image_id' of '{path.name}'")
        for name in NAMES:
            table[name] = binary_column(table[name], f"column '{name}' of '{path.name}'", may_be_blank=False)
        # a row for each reader in training, a single one with the consensus in test
        votes = table.groupby("image_id", sort=True)[NAMES].sum()
        required = self.min_readers if self.split == "train" else 1
        present = votes >= required
        found = [set(compress(NAMES, row)) for row in present.to_numpy(dtype=np.bool_)]
        images = votes.index.astype(str).tolist()
        files = self._files(images)
        regions, unknown = self._regions(present) if self.with_regions else ([], [])
        boxed = {image for image, _, _ in regions}
        file_of = {image: file for image, file in zip(images, files, strict=True) if image in boxed}
        return Annotated(
            sample_id=images,
            patient_id=images,
            files=files,
            names=VOCABULARY.labels,
            labels=VOCABULARY.read(found),
            regions=regions,
            frames=annotated_frames(file_of, self.annotation_size, "data.reader.annotation_size"),
            squeezed=self.squeezed,
            unknown_names=unknown,
        )

    def _regions(self, present: pd.DataFrame) -> tuple[list[tuple[str, str, Region]], list[str]]:
        """Return the regions, and names in the table that are not published."""
        path = find_file(self.root, f"annotations_{self.split}.csv")
        boxes = read_csv(path, dtype=str)
        check_names(
            ("image_id", "class_name", *BOX), [str(name) for name in boxes.columns], f"columns of '{path.name}'"
        )
        for name in ("image_id", "class_name"):
            boxes[name] = identifiers(boxes[name], f"column '{name}' of '{path.name}'")
        unknown = sorted(set(boxes["class_name"]) - VOCABULARY.names)
        # "No finding" has a row without a box
        boxes = boxes.dropna(subset=list(BOX), how="all")
        corners = coordinates(boxes, BOX, f"'{path.name}'").tolist()
        regions: list[tuple[str, str, Region]] = [
            (str(image), label, BoxRegion(to_xyxy(box, "xyxy")))
            for image, name, box in zip(boxes["image_id"], boxes["class_name"], corners, strict=True)
            for label in VOCABULARY.labels_of(name)
            # the table of labels may be one of some images only
            if image in present.index and present.loc[image, name]
        ]
        return regions, unknown

    def _files(self, images: list[str]) -> list[Path]:
        """Return the file of each image, in whichever format it exists."""
        for suffix in SUFFIXES:
            files = [Path(self.split) / f"{name}{suffix}" for name in images]
            base = find_base(self.root, files)
            if base is not None:
                return [base / file for file in files]
        return [self.root / self.split / f"{name}{SUFFIXES[0]}" for name in images]
