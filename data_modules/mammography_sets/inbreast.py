"""INbreast: digital mammograms with contours."""

import plistlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from data_modules.base import License
from data_modules.cbis_ddsm.breast import PrepareBreast
from data_modules.columns import check_names
from data_modules.csv_file import read_csv
from data_modules.evaluation import Annotated, EvaluationReader, find_file
from data_modules.preparation import Preprocess
from data_modules.regions import PolygonRegion, Region

COLUMNS = ("File Name", "Bi-Rads", "ACR", "View")
# fewer points enclose nothing: single calcifications are marked by one
MIN_POINTS = 3
_POINT = re.compile(r"\(\s*(-?[\d.]+)\s*,\s*(-?[\d.]+)\s*\)")


class INbreast(EvaluationReader):
    """410 digital mammograms of 115 cases with contours of masses and clusters.

    Access: by request; the original page is gone, and copies circulate under its terms of use.

    Cite: Moreira et al., "INbreast: toward a full-field digital mammographic database", Academic Radiology 19:236, 2012,
    https://doi.org/10.1016/j.acra.2011.09.014.

    Read before use: there is no pathology. "Malignant" is a BI-RADS assessment of `min_birads` or more. Many regions are single
    points, which enclose nothing: they are counted and left out. The table is separated by semicolons.

    Args:
        root: Folder with `INbreast.csv`, `AllDICOMs/` and `AllXML/`.
        names: Kinds of regions, as in the XML files.
        min_birads: Smallest BI-RADS assessment of a positive image: 4 is suspicious.
    """

    license: ClassVar[License] = "credentialed"
    roi_area: ClassVar[float] = 0.02

    def __init__(
        self,
        root: Path,
        names: tuple[str, ...] = ("Mass", "Cluster", "Spiculated Region", "Distortion", "Asymmetry"),
        min_birads: int = 4,
    ) -> None:
        self.root, self.names, self.min_birads = Path(root), names, min_birads

    def preprocess(self) -> Preprocess:
        """Crop to the breast."""
        return PrepareBreast()

    def read(self) -> Annotated:
        """Read assessments and contours."""
        path = find_file(self.root, "INbreast.csv")
        table = read_csv(path, sep=";", dtype=str)
        table.columns = pd.Index([str(name).strip() for name in table.columns])
        check_names(COLUMNS, [str(name) for name in table.columns], f"columns of '{path.name}'")
        table = table.dropna(subset=["File Name"])
        images = table["File Name"].str.strip().tolist()
        # <number>_<patient>_MG_<side>_<view>_ANON.dcm
        files = {file.name.split("_")[0]: file for file in sorted((path.parent / "AllDICOMs").glob("*.dcm"))}
        patients = [files[name].name.split("_")[1] if name in files else name for name in images]
        # 4a, 4b and 4c are shades of 4
        birads = table["Bi-Rads"].astype(str).str.extract(r"(\d)", expand=False).astype(float)
        regions: list[tuple[str, str, Region]] = []
        points = 0
        for name in images:
            contours = path.parent / "AllXML" / f"{name}.xml"
            for kind, corners in read_contours(contours) if contours.is_file() else ():
                if kind in self.names and len(corners) >= MIN_POINTS:
                    regions.append((name, "Malignant", PolygonRegion(corners)))
                points += kind in self.names and len(corners) < MIN_POINTS
        return Annotated(
            sample_id=images,
            patient_id=patients,
            files=[files.get(name, path.parent / "AllDICOMs" / f"{name}.dcm") for name in images],
            names=("Malignant",),
            labels=np.asarray(birads >= self.min_birads, dtype=np.float32)[:, None],
            regions=regions,
            counts={"regions_of_a_point": points},
            strata={
                "view": table["View"].fillna("").str.strip().tolist(),
                "density": table["ACR"].fillna("").str.strip().tolist(),
            },
        )


def read_contours(path: Path) -> Iterator[tuple[str, tuple[tuple[float, float], ...]]]:
    """Read the contours of one image, a property list of OsiriX.

    Yields:
        Name, and corners as (x, y) in pixels.
    """
    with path.open("rb") as file:
        content: dict[str, Any] = plistlib.load(file)
    for image in content["Images"]:
        for roi in image["ROIs"]:
            found = [_POINT.fullmatch(text.strip()) for text in roi["Point_px"]]
            yield (
                str(roi["Name"]).strip(),
                tuple((float(m.group(1)), float(m.group(2))) for m in found if m is not None),
            )
