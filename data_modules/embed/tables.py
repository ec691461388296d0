"""Read and join the tables of EMBED: one row per image, with the findings of its breast."""

import ast
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data_modules.columns import check_names, identifiers
from data_modules.csv_file import read_csv
from data_modules.geometry import to_xyxy
from data_modules.regions import BoxRegion
from data_modules.split import Table

Preset = Literal["descriptors", "descriptors_density", "with_assessment", "nuisance"]
Unproven = Literal["benign", "drop"]
DESCRIPTORS = ("massshape", "massmargin", "massdens", "calcfind", "calcdistri")
CLINICAL = ("empi_anon", "acc_anon", "side", "asses", "path_severity", "tissueden", *DESCRIPTORS)
METADATA = (
    "empi_anon",
    "acc_anon",
    "ImageLateralityFinal",
    "FinalImageType",
    "ViewPosition",
    "anon_dicom_path",
    "ROI_coords",
)
KEYS = ["empi_anon", "acc_anon", "laterality"]
# path_severity: 0 invasive and 1 non-invasive cancer, 2 high-risk, 3 borderline, 4 benign, 5 non-breast cancer, 6 other
CANCER = (0, 1)
# assessments that end with no suspicion: negative, benign
NEGATIVE = ("N", "B")
COLUMNS: dict[Preset, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "descriptors": (DESCRIPTORS, ()),
    "descriptors_density": (DESCRIPTORS, ("tissueden",)),
    "with_assessment": ((*DESCRIPTORS, "asses"), ("tissueden",)),
    "nuisance": (("side", "ViewPosition"), ("tissueden",)),
}


def find_table(root: Path, name: str) -> Path:
    """Return a table of EMBED, complete or reduced, in the folder or in `tables/`.

    Raises:
        FileNotFoundError: If there is none.
    """
    for folder in (root / "tables", root):
        for suffix in ("", "_reduced"):
            path = folder / f"EMBED_OpenData_{name}{suffix}.csv"
            if path.is_file():
                return path
    raise FileNotFoundError(f"Expected 'EMBED_OpenData_{name}.csv' in '{root}' or '{root / 'tables'}'. Set data.root.")


def read_images(root: Path) -> pd.DataFrame:
    """Read the 2D images: one row each, with `laterality` L or R.

    Raises:
        ValueError: If a column is missing.
    """
    images = _read(find_table(root, "metadata"), METADATA)
    images = images[images["FinalImageType"] == "2D"]
    return images.assign(laterality=images["ImageLateralityFinal"]).reset_index(drop=True)


def read_findings(root: Path) -> pd.DataFrame:
    """Read the findings: one row each and breast. A finding of both sides, or of none, concerns both breasts.

    An examination has findings of both breasts: joined by its number alone, those of one would be attributed to the other.

    Raises:
        ValueError: If a column is missing.
    """
    findings = _read(find_table(root, "clinical"), CLINICAL)
    sides = findings["side"].map({"L": "L", "R": "R"})
    both = findings[sides.isna()]
    one = findings[sides.notna()].assign(laterality=sides)
    # `side` becomes that of the breast, for the negative control
    joined = pd.concat([one, both.assign(laterality="L"), both.assign(laterality="R")], ignore_index=True)
    return joined.assign(side=joined["laterality"])


def label_findings(findings: pd.DataFrame, unproven: Unproven) -> NDArray[np.float32]:
    """Return the label of every finding: 1 cancer, 0 no cancer, NaN without pathology under `drop`.

    A finding that was assessed as negative or benign needs no pathology and is 0.
    """
    severity = pd.to_numeric(findings["path_severity"], errors="coerce")
    label = np.where(severity.isin(CANCER), 1.0, 0.0)
    unknown = severity.isna() & ~findings["asses"].isin(NEGATIVE)
    return np.where(unknown & (unproven == "drop"), np.nan, label).astype(np.float32)


def pool(findings: pd.DataFrame, label: NDArray[np.float32], vocabulary: Mapping[str, list[str]]) -> pd.DataFrame:
    """Pool the findings of every breast: gravest label, union of the values of each column, largest density.

    Returns:
        One row per breast, indexed by `KEYS`: `label`, `tissueden`, and a frozenset in each column of the vocabulary.
    """
    frame = findings[KEYS].assign(label=label, tissueden=pd.to_numeric(findings["tissueden"], errors="coerce"))
    frame["unknown"] = np.isnan(label)
    pooled = frame.groupby(KEYS).max()
    # one proven cancer is enough, but a finding that may be one leaves a breast without cancer unknown
    pooled["label"] = pooled["label"].where((pooled["label"] == 1) | ~pooled.pop("unknown"))
    for name in vocabulary:
        values = findings[KEYS].assign(value=findings[name].map(split_values))
        pooled[name] = values.groupby(KEYS)["value"].agg(_union)
    return pooled


def _union(sets: "pd.Series[Any]") -> frozenset[str]:
    return frozenset().union(*sets)


def split_values(cell: object) -> frozenset[str]:
    """Return the codes in a cell: single letters, or several separated by commas."""
    if not isinstance(cell, str):
        return frozenset()
    return frozenset(code.strip() for code in cell.split(",") if code.strip())


def known_values(cells: "pd.Series[str]") -> list[str]:
    """Return all codes that occur in some cells, sorted."""
    return sorted(frozenset().union(*map(split_values, cells)))


def encode(rows: pd.DataFrame, vocabulary: Mapping[str, list[str]], numeric: tuple[str, ...]) -> Table:
    """Return the privileged columns: multi-hot codes of the vocabulary, and numbers. A missing value has no column."""
    names = [(name, code) for name, codes in vocabulary.items() for code in codes]
    hot = np.zeros((len(rows), len(names)), dtype=np.float32)
    for position, (name, code) in enumerate(names):
        hot[:, position] = [code in values for values in rows[name]]
    numbers = rows[list(numeric)].to_numpy(dtype=np.float32)
    return Table(numbers, hot, numeric, tuple(f"{name}={code}" for name, code in names))


def read_boxes(cell: object) -> tuple[BoxRegion, ...]:
    """Return the boxes in a cell of `ROI_coords`, a list of [ymin, xmin, ymax, xmax] in pixels of the image."""
    if not isinstance(cell, str) or not cell.strip():
        return ()
    listed = ast.literal_eval(cell)
    # a single box is sometimes written without the outer list
    listed = [listed] if listed and not isinstance(listed[0], (list, tuple)) else listed
    return tuple(BoxRegion(to_xyxy(box, "yxyx")) for box in listed)


def _read(path: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    frame = read_csv(path, dtype=str, usecols=lambda name: name in columns)
    check_names(columns, [str(name) for name in frame.columns], f"columns of '{path.name}'")
    for name in ("empi_anon", "acc_anon"):
        frame[name] = identifiers(frame[name], f"column '{name}' of '{path.name}'")
    return frame
