"""VinDr-Mammo: digital mammograms with boxes of findings and BI-RADS assessments."""

import ast
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import pandas as pd

from data_modules.base import License
from data_modules.cbis_ddsm.breast import PrepareBreast
from data_modules.columns import check_names
from data_modules.csv_file import read_csv
from data_modules.evaluation import Annotated, EvaluationReader, find_file
from data_modules.geometry import to_xyxy
from data_modules.preparation import Preprocess
from data_modules.regions import BoxRegion, Region

BOX = ("xmin", "ymin", "xmax", "ymax")
COLUMNS = ("study_id", "image_id", "view_position", "height", "width", "breast_birads", "breast_density")
FINDING_COLUMNS = ("finding_categories", "finding_birads", *BOX, "split")


class VinDrMammo(EvaluationReader):
    """20,000 mammograms of 5,000 examinations with boxes of findings.

    Access: credentialed, from PhysioNet (https://physionet.org/content/vindr-mammo/1.0.0/).

    Cite: Nguyen et al., "VinDr-Mammo: a large-scale benchmark dataset for computer-aided diagnosis in full-field digital
    mammography", Scientific Data 10:277, 2023, https://doi.org/10.1038/s41597-023-02100-7.

    Read before use: there is no pathology. "Malignant" is a radiologist's suspicion, a BI-RADS assessment of the breast of
    `min_birads` or more. The breast has the gravest assessment of its findings. Some files are MONOCHROME1 (they are
    inverted), some boxes have negative coordinates (they are clipped). Patients are not told apart beyond examinations.

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
        self.root, self.split, self.categories, self.min_birads = Path(root), split, categories, min_birads

    def preprocess(self) -> Preprocess:
        """Crop to the breast."""
        return PrepareBreast()

    def read(self) -> Annotated:
        """Read assessments and boxes."""
        path = find_file(self.root, "finding_annotations.csv")
        rows = read_csv(path)
        check_names((*COLUMNS, *FINDING_COLUMNS), [str(name) for name in rows.columns], f"columns of '{path.name}'")
        rows = rows[rows["split"] == self.split]
        images = rows.drop_duplicates("image_id")
        label = np.asarray(_birads(images["breast_birads"]) >= self.min_birads, dtype=np.float32)[:, None]
        frames = {
            str(name): (int(height), int(width))
            for name, height, width in zip(images["image_id"], images["height"], images["width"], strict=True)
        }
        drawn = rows[_birads(rows["finding_birads"]) >= self.min_birads].dropna(subset=list(BOX))
        regions: list[tuple[str, str, Region]] = [
            (str(image), "Malignant", BoxRegion(to_xyxy(box, "xyxy", frames[str(image)])))
            for image, listed, *box in drawn[["image_id", "finding_categories", *BOX]].itertuples(index=False)
            # a list in the notation of Python, such as ['Mass', 'Skin Thickening']
            if set(ast.literal_eval(listed)) & set(self.categories)
        ]
        folder = path.parent / "images"
        return Annotated(
            sample_id=images["image_id"].astype(str).tolist(),
            patient_id=images["study_id"].astype(str).tolist(),
            files=[
                folder / str(study) / f"{image}.dicom"
                for study, image in zip(images["study_id"], images["image_id"], strict=True)
            ],
            names=("Malignant",),
            labels=label,
            regions=regions,
            frames=frames,
            strata={
                "view": images["view_position"].astype(str).tolist(),
                "density": images["breast_density"].astype(str).str.removeprefix("DENSITY ").tolist(),
            },
        )


def _birads(column: "pd.Series[str]") -> "pd.Series[float]":
    """Return the number of assessments such as `BI-RADS 4`, NaN where there is none."""
    return column.astype(str).str.extract(r"(\d)", expand=False).astype(float)
