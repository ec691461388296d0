"""VinDr-Mammo: digital mammograms with boxes of findings and BI-RADS assessments."""

import re
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import pandas as pd

from data_modules.base import License
from data_modules.cbis_ddsm.breast import PrepareBreast
from data_modules.columns import check_names, coordinates, identifiers, refuse_blanks, rows_in_words, texts
from data_modules.evaluation import Annotated, EvaluationReader
from data_modules.files.csv_file import read_csv
from data_modules.files.folders import find_file
from data_modules.frames import frames_by_image
from data_modules.images.geometry import to_xyxy
from data_modules.images.preparation import Preprocess
from data_modules.images.regions import BoxRegion, Region
from data_modules.mammography_sets.birads import read_birads

BOX = ("xmin", "ymin", "xmax", "ymax")
COLUMNS = ("study_id", "image_id", "view_position", "height", "width", "breast_birads", "breast_density")
FINDING_COLUMNS = ("finding_categories", "finding_birads", *BOX, "split")
SPLITS = ("training", "test")
CATEGORIES = (
    "Mass",
    "Suspicious Calcification",
    "Asymmetry",
    "Focal Asymmetry",
    "Global Asymmetry",
    "Architectural Distortion",
    "Skin Thickening",
    "Skin Retraction",
    "Nipple Retraction",
    "Suspicious Lymph Node",
    "No Finding",
)
# a list as Python writes it
_LIST = r"\[('[^']*'(, *'[^']*')*)?\]"


class VinDrMammo(EvaluationReader):
    """20,000 mammograms of 5,000 examinations with boxes of findings.

    Access: credentialed, from PhysioNet (https://physionet.org/content/vindr-mammo/1.0.0/).

    Cite: Nguyen et al., "VinDr-Mammo: a large-scale benchmark dataset for computer-aided diagnosis in full-field digital
    mammography", Scientific Data 10:277, 2023, https://doi.org/10.1038/s41597-023-02100-7.

    Read before use: there is no pathology. "Malignant" is a radiologist's suspicion, a BI-RADS assessment of the breast of
    `min_birads` or more. The breast has the gravest assessment of its findings; boxes of breasts that are not positive are not
    regions. Some files are MONOCHROME1 (they are inverted), some boxes have negative coordinates (they are clipped). Patients
    are not identified, so every examination counts as one.

    Args:
        root: Folder with `finding_annotations.csv` and `images/`.
        split: The set's own split.
        categories: Findings whose boxes are regions.
        min_birads: Smallest BI-RADS assessment of a positive image, and of a finding that has a region: 4 is suspicious.
    """

    license: ClassVar[License] = "credentialed"
    roi_area: ClassVar[float] = 0.02

    def __init__(
        self,
        root: Path,
        split: Literal["training", "test"] = "test",
        categories: tuple[str, ...] = ("Mass", "Suspicious Calcification"),
        min_birads: int = 4,
    ) -> None:
        check_names(categories, CATEGORIES, "categories of findings")
        self.root = Path(root)
        self.split = split
        self.categories = categories
        self.min_birads = min_birads

    def preprocess(self) -> Preprocess:
        """Crop to the breast."""
        return PrepareBreast()

    def read(self) -> Annotated:
        """Read assessments and boxes."""
        path = find_file(self.root, "finding_annotations.csv")
        rows = read_csv(path, dtype=str)
        check_names((*COLUMNS, *FINDING_COLUMNS), [str(name) for name in rows.columns], f"columns of '{path.name}'")
        for name in ("study_id", "image_id", "split"):
            rows[name] = identifiers(rows[name], f"column '{name}' of '{path.name}'")
        check_names(sorted(set(rows["split"])), SPLITS, f"splits of '{path.name}'")
        rows = rows[rows["split"] == self.split]
        frames = frames_by_image(rows["image_id"], rows["height"], rows["width"], f"rows of '{path.name}'")
        images = rows.drop_duplicates("image_id")
        birads = read_birads(images["breast_birads"], f"column 'breast_birads' of '{path.name}'")
        # 0 means incomplete
        label = np.where(birads > 0, birads >= self.min_birads, np.nan).astype(np.float32)
        positive = set(images["image_id"][label == 1])
        boxes = rows.dropna(subset=list(BOX), how="all")
        corners = coordinates(boxes, BOX, f"'{path.name}'")
        found = _categories(boxes["finding_categories"], f"column 'finding_categories' of '{path.name}'")
        named = np.array([not names.isdisjoint(self.categories) for names in found], dtype=np.bool_)
        rated = read_birads(boxes["finding_birads"], f"column 'finding_birads' of '{path.name}'")
        grave = (rated >= self.min_birads) & boxes["image_id"].isin(positive)
        drawn = named & grave.to_numpy(dtype=np.bool_)
        regions: list[tuple[str, str, Region]] = [
            (image, "Malignant", BoxRegion(to_xyxy(box, "xyxy", frames[image])))
            for image, box in zip(boxes["image_id"][drawn], corners[drawn].tolist(), strict=True)
        ]
        folder = path.parent / "images"
        return Annotated(
            sample_id=images["image_id"].tolist(),
            patient_id=images["study_id"].tolist(),
            files=[
                folder / str(study) / f"{image}.dicom"
                for study, image in zip(images["study_id"], images["image_id"], strict=True)
            ],
            names=("Malignant",),
            labels=label[:, None],
            regions=regions,
            frames=frames,
            counts={
                "images_without_assessment": int(np.isnan(label).sum()),
                "boxes_of_other_findings": int((~named).sum()),
                "boxes_of_milder_findings": int((named & ~grave).sum()),
            },
            strata={
                "view": images["view_position"].tolist(),
                "density": [name.removeprefix("DENSITY ") for name in texts(images["breast_density"]).tolist()],
            },
            unknown_names=sorted(frozenset[str]().union(*found).difference(CATEGORIES)),
        )


def _categories(column: "pd.Series[str]", what: str) -> list[frozenset[str]]:
    """Return the findings of each box, which are written as a list of Python, such as ['Mass', 'Skin Thickening']."""
    refuse_blanks(column, what)
    cells = texts(column)
    wrong = np.array([re.fullmatch(_LIST, cell) is None for cell in cells], dtype=np.bool_)
    if wrong.any():
        raise ValueError(
            f"Expected lists such as ['Mass', 'Skin Thickening'] in {what} but got '{cells[wrong][0]}' "
            f"({rows_in_words(column, wrong)}). Restore the table."
        )
    return [frozenset(re.findall("'([^']*)'", cell)) for cell in cells]
