"""INbreast: digital mammograms with contours."""

from collections import Counter
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd

from data_modules.base import License
from data_modules.cbis_ddsm.breast import PrepareBreast
from data_modules.columns import check_names, identifiers
from data_modules.evaluation import Annotated, EvaluationReader
from data_modules.files.csv_file import read_csv
from data_modules.files.folders import find_file
from data_modules.frames import annotated_frames
from data_modules.images.dicom import list_dicom
from data_modules.images.preparation import Preprocess
from data_modules.images.regions import PolygonRegion, Region
from data_modules.mammography_sets.birads import read_birads
from data_modules.mammography_sets.contours import KINDS, kind_of, read_contours

COLUMNS = ("File Name", "Bi-Rads", "ACR", "View")
# contours of fewer points enclose nothing; single calcifications are marked by one point
MIN_POINTS = 3
CONTOURS = "AllXML"
# folders of copies in another format: beside the DICOM files or on their own
COPIES = ("AllDICOMs", "AllPNGs")


class INbreast(EvaluationReader):
    """410 digital mammograms of 115 cases with contours of masses and clusters.

    Access: by request; the original page is gone, and copies circulate under its terms of use.

    Cite: Moreira et al., "INbreast: toward a full-field digital mammographic database", Academic Radiology 19:236, 2012,
    https://doi.org/10.1016/j.acra.2011.09.014.

    Read before use: there is no pathology. "Malignant" is a BI-RADS assessment of `min_birads` or more, of the whole image; an
    image without an assessment has no label. Contours on images below that are not regions of "Malignant". Many contours are
    single points, which enclose nothing. Everything that is left out is counted.

    Args:
        root: Folder with `INbreast.csv`, or a copy of `INbreast.xls` of that name with commas or semicolons; `AllDICOMs/` and
            `AllXML/`. If there are no DICOM files, PNG copies with the same names are read from `AllDICOMs/` or `AllPNGs/`; a
            copy without the patient in its name counts as a patient of its own, and is counted.
        names: Kinds of contours that are regions. `Calcification` is not among the default ones: the XML files outline single
            calcifications, most of them benign, also in images that were rated for something else; calcifications that
            were rated together are a `Cluster`.
        min_birads: Smallest BI-RADS assessment of a positive image: 4 is suspicious.
        annotation_size: CSV file with image_id (the number), height and width of the DICOM files, for PNG copies.
        squeezed: Whether these copies show the whole image in other proportions: contours are then placed by their fractions
            of its height and width.
        with_regions: Whether to read contours. Without them, only labels are evaluated.
    """

    license: ClassVar[License] = "credentialed"
    roi_area: ClassVar[float] = 0.02

    def __init__(
        self,
        root: Path,
        names: tuple[str, ...] = ("Mass", "Cluster", "Spiculated Region", "Distortion", "Asymmetry"),
        min_birads: int = 4,
        annotation_size: Path | None = None,
        squeezed: bool = False,
        with_regions: bool = True,
    ) -> None:
        self.names = tuple(kind_of(name) for name in names)
        check_names(self.names, KINDS, "kinds of contours")
        self.root = Path(root)
        self.min_birads = min_birads
        self.annotation_size = annotation_size
        self.squeezed = squeezed
        self.with_regions = with_regions

    def preprocess(self) -> Preprocess:
        """Crop to the breast."""
        return PrepareBreast()

    def read(self) -> Annotated:
        """Read assessments and contours."""
        path = find_file(self.root, "INbreast.csv")
        if self.with_regions and not (path.parent / CONTOURS).is_dir():
            raise FileNotFoundError(
                f"Expected the contours in '{path.parent / CONTOURS}' but there is no such folder. Put it beside "
                f"'{path.name}', or set data.reader.with_regions to false."
            )
        table, without_name = _read_table(path)
        images = table["File Name"].tolist()
        files = _find_images(path.parent)
        file_of = {name: files.get(name, path.parent / "AllDICOMs" / f"{name}.dcm") for name in images}
        birads = read_birads(table["Bi-Rads"], f"column 'Bi-Rads' of '{path.name}'")
        # 0 means incomplete
        label = np.where(birads > 0, birads >= self.min_birads, np.nan).astype(np.float32)
        regions: list[tuple[str, str, Region]] = []
        patients = [_patient(file_of[name]) for name in images]
        counts: Counter[str] = Counter(
            images_without_assessment=int(np.isnan(label).sum()),
            images_without_patient=patients.count(""),
            rows_without_file_name=without_name,
        )
        for name, own in zip(images, label, strict=True) if self.with_regions else ():
            found, left_out = self._regions(path.parent / CONTOURS / f"{name}.xml", own == 1)
            regions += [(name, "Malignant", region) for region in found]
            counts.update(left_out)
        drawn_on = {name: file_of[name] for name, _, _ in regions}
        return Annotated(
            sample_id=images,
            patient_id=[patient or name for patient, name in zip(patients, images, strict=True)],
            files=[file_of[name] for name in images],
            names=("Malignant",),
            labels=label[:, None],
            regions=regions,
            frames=annotated_frames(drawn_on, self.annotation_size, "data.reader.annotation_size"),
            squeezed=self.squeezed,
            counts=counts,
            strata={
                "view": table["View"].fillna("").str.strip().tolist(),
                "density": table["ACR"].fillna("").str.strip().tolist(),
            },
        )

    def _regions(self, path: Path, malignant: bool) -> tuple[list[PolygonRegion], Counter[str]]:
        """Return the regions of an image, and how many contours were left out, by reason."""
        regions = []
        counts = Counter[str](positive_images_without_contours=int(malignant and not path.is_file()))
        for name, corners in read_contours(path) if path.is_file() else ():
            if kind_of(name) not in self.names:
                counts[f"contours_named_{name.lower() or 'nothing'}"] += 1
            elif len(corners) < MIN_POINTS:
                counts["regions_of_a_point"] += 1
            elif not malignant:
                counts["contours_of_milder_images"] += 1
            else:
                regions.append(PolygonRegion(corners))
        return regions, counts


def _read_table(path: Path) -> tuple[pd.DataFrame, int]:
    """Return the rows of images, and how many others state something, but neither a file nor an assessment."""
    # as distributed, or as a spreadsheet program or pandas writes the workbook beside it
    with path.open("rb") as file:
        separator = ";" if b";" in file.readline() else ","
    table = read_csv(path, sep=separator, dtype=str)
    table.columns = pd.Index([str(name).strip() for name in table.columns])
    check_names(COLUMNS, [str(name) for name in table.columns], f"columns of '{path.name}'")
    # rows below the table are blank, or hold sums of other columns
    table = table.dropna(how="all")
    images = table.dropna(subset=["File Name", "Bi-Rads"], how="all")
    names = identifiers(images["File Name"], f"column 'File Name' of '{path.name}'")
    return images.assign(**{"File Name": names}), len(table) - len(images)


def _find_images(folder: Path) -> dict[str, Path]:
    """Return the image files by number: <number>_<patient>_MG_<side>_<view>_ANON.dcm, or copies."""
    files = [file for file in list_dicom(folder / "AllDICOMs") if "_" in file.name]
    # copies only without DICOM files, since they may have been resized
    for name in COPIES:
        files = files or sorted((folder / name).glob("*.png"))
    return {file.stem.split("_")[0]: file for file in files}


def _patient(file: Path) -> str:
    """Return the patient in the name of a file, empty if there is none."""
    parts = file.stem.split("_")
    return parts[1] if len(parts) > 1 else ""
