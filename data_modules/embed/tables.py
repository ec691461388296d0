"""Read and join the tables of EMBED: one row per image, with the findings of its breast."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data_modules.columns import check_names, identifiers, numbers, refuse_blanks
from data_modules.files.csv_file import read_csv
from data_modules.files.folders import find_nearest
from data_modules.split import Table

Preset = Literal["descriptors", "descriptors_density", "with_assessment", "nuisance"]
Unproven = Literal["benign", "drop"]
DESCRIPTORS = ("massshape", "massmargin", "massdens", "calcfind", "calcdistri")
CLINICAL = ("empi_anon", "acc_anon", "side", "bside", "asses", "path_severity", "tissueden", *DESCRIPTORS)
METADATA = (
    "empi_anon",
    "acc_anon",
    "ImageLateralityFinal",
    "FinalImageType",
    "ViewPosition",
    "spot_mag",
    "anon_dicom_path",
)
# columns that only some releases, or only the complete table, have
OPTIONAL = ("ROI_coords", "DCM_ROI_coords", "PNG_ROI_coords", "PNG_flipped", "PatientOrientation", "Rows", "Columns")
KEYS = ["empi_anon", "acc_anon", "laterality"]
# path_severity: 0 invasive and 1 non-invasive cancer, 2 high-risk, 3 borderline, 4 benign. 5 and 6 change their meaning from
# release to release (negative and non-breast cancer, or non-breast cancer and invalid), so they are not used
CANCER = (0, 1)
NO_CANCER = (2, 3, 4)
# assessments without suspicion: negative, benign
NEGATIVE = ("N", "B")
# value of tissueden for a normal male
MALE = 5
# B is both. A blank side of a finding is both, too, and that of a pathology is unknown
SIDES = ("L", "R", "B")
OTHER_SIDE = {"L": "R", "R": "L"}
COLUMNS: dict[Preset, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "descriptors": (DESCRIPTORS, ()),
    "descriptors_density": (DESCRIPTORS, ("tissueden",)),
    "with_assessment": ((*DESCRIPTORS, "asses"), ("tissueden",)),
    "nuisance": (("side", "ViewPosition"), ("tissueden",)),
}


def find_table(root: Path, name: str) -> Path:
    """Return a table of EMBED, complete rather than reduced, in the folder or up to six levels below, such as in `tables/`.

    Raises:
        FileNotFoundError: If there is none.
    """
    # newer tables name the event that they were made for, such as EMBED_OpenData_NUS_Datathon_metadata.csv
    for form in (name, f"{name}_reduced", f"*_{name}", f"*_{name}_reduced"):
        found = find_nearest(root, f"EMBED_OpenData_{form}.csv", f"EMBED_OpenData_{form}.csv.gz")
        if found is not None:
            return found
    raise FileNotFoundError(
        f"Expected 'EMBED_OpenData_{name}.csv' in '{root}', in its 'tables' or below but there is none. Set data.root."
    )


def read_images(root: Path) -> tuple[pd.DataFrame, dict[str, int]]:
    """Read the 2D images of whole breasts: one row each, with `laterality` L or R, and `view`.

    Returns:
        The rows, and how many spot compressions and magnifications were left out.

    Raises:
        ValueError: If a column or a path is missing.
    """
    path = find_table(root, "metadata")
    images = _read(path, METADATA, OPTIONAL)
    images = images[_code(images["FinalImageType"]) == "2D"]
    refuse_blanks(images["anon_dicom_path"], f"column 'anon_dicom_path' of '{path.name}'")
    whole = images["spot_mag"].isna() | (_numbers(images["spot_mag"], path) == 0)
    images = images.assign(laterality=_code(images["ImageLateralityFinal"]), view=_code(images["ViewPosition"]))
    return images[whole].reset_index(drop=True), {"dropped_special_views": int((~whole).sum())}


def read_findings(root: Path) -> tuple[pd.DataFrame, dict[str, int]]:
    """Read the findings, one row per finding and breast. A finding of both sides, or without side, concerns both breasts.

    An examination has findings of both breasts; joined by its number alone, those of one would be attributed to the other.
    Pathology belongs to the side that `bside` names, which need not be that of the finding.

    Returns:
        The columns of the table, `laterality` (L or R), and the pathology of this breast: `cancer` (1, 0, or NaN without
        usable pathology) and `side_unknown`, whether there is pathology without a side. Also the number of findings whose
        code of pathology is not used.

    Raises:
        ValueError: If a column is missing, or a cell holds no side, or no number where one is expected.
    """
    path = find_table(root, "clinical")
    findings = _read(path, CLINICAL)
    side = _code(findings["side"])
    proven_side = _code(findings["bside"])
    for codes in (side, proven_side):
        check_names(sorted(set(codes) - {""}), SIDES, f"sides in column '{codes.name}' of '{path.name}'")
    findings = findings.assign(asses=_code(findings["asses"]), tissueden=_numbers(findings["tissueden"], path))
    severity = _numbers(findings["path_severity"], path)
    cancer = severity.map(dict.fromkeys(CANCER, 1.0) | dict.fromkeys(NO_CANCER, 0.0))
    unclear = cancer.notna() & ~proven_side.isin(("L", "R", "B"))
    breasts = []
    for breast, other in OTHER_SIDE.items():
        described = side != other
        proven = proven_side.isin((breast, "B"))
        # `side` becomes the side of the breast; the negative control uses it
        rows = findings.assign(
            laterality=breast,
            side=breast,
            cancer=cancer.where(proven),
            side_unknown=unclear,
        )
        # descriptors of the other breast must not be attributed to this one
        rows.loc[~described, [*DESCRIPTORS, "asses"]] = None
        # a cancer without a side may be in the breast that the finding does not describe
        breasts.append(rows[described | (proven & cancer.notna()) | (unclear & (cancer == 1))])
    counts = {"findings_with_ambiguous_pathology": int((severity.notna() & cancer.isna()).sum())}
    return pd.concat(breasts, ignore_index=True), counts


def label_findings(findings: pd.DataFrame, unproven: Unproven) -> NDArray[np.float32]:
    """Return the label of every finding: 1 cancer, 0 no cancer, NaN unknown.

    Without pathology, a finding that was assessed as negative or benign is 0; others are 0 under `benign` and unknown under
    `drop`. Pathology without a side makes a finding unknown.
    """
    assumed = findings["asses"].isin(NEGATIVE) | (unproven == "benign")
    label = findings["cancer"].where(findings["cancer"].notna() | ~assumed, 0.0)
    return label.where(~findings["side_unknown"]).to_numpy(dtype=np.float32)


def pool(findings: pd.DataFrame, label: NDArray[np.float32], vocabulary: Mapping[str, list[str]]) -> pd.DataFrame:
    """Pool the findings of every breast: gravest label, union of the values of each column, largest density.

    Returns:
        One row per breast, indexed by `KEYS`: `label`, `tissueden`, `side_unknown`, and a frozenset in each column of the
        vocabulary.
    """
    frame = findings[[*KEYS, "side_unknown"]].assign(label=label, tissueden=findings["tissueden"])
    frame["unknown"] = np.isnan(label)
    # the maximum ignores NaN: gravest label, largest density, any unknown
    pooled = frame.groupby(KEYS).max()
    # one proven cancer makes a breast positive; without one, a single unknown finding makes it unknown
    pooled["label"] = pooled["label"].where((pooled["label"] == 1) | ~pooled.pop("unknown"))
    for name in vocabulary:
        values = findings[KEYS].assign(value=findings[name].map(split_values))
        pooled[name] = values.groupby(KEYS)["value"].agg(_union)
    return pooled


def join(images: pd.DataFrame, breasts: pd.DataFrame) -> pd.DataFrame:
    """Return the images whose breast has findings, with the columns of the breast.

    Raises:
        ValueError: If there is none.
    """
    rows = images.merge(breasts, left_on=KEYS, right_index=True, how="inner")
    if rows.empty:
        raise ValueError(
            f"Expected findings of the {len(images)} 2D images of EMBED but none has the empi_anon, acc_anon and side of one. "
            "Use the tables of one release as they were distributed: a program may have changed long numbers."
        )
    return rows


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
    """Return the privileged columns: multi-hot codes of the vocabulary, and numbers. There is no column for missing values."""
    names = [(name, code) for name, codes in vocabulary.items() for code in codes]
    hot = np.zeros((len(rows), len(names)), dtype=np.float32)
    for position, (name, code) in enumerate(names):
        hot[:, position] = [code in values for values in rows[name]]
    numbers = rows[list(numeric)].to_numpy(dtype=np.float32)
    return Table(numbers, hot, numeric, tuple(f"{name}={code}" for name, code in names))


def _numbers(cells: "pd.Series[str]", path: Path) -> "pd.Series[float]":
    return pd.Series(numbers(cells, f"column '{cells.name}' of '{path.name}'"), index=cells.index)


def _code(cells: "pd.Series[str]") -> "pd.Series[str]":
    """Return codes in upper case, empty where a cell is blank."""
    return cells.fillna("").str.strip().str.upper()


def _read(path: Path, columns: tuple[str, ...], optional: tuple[str, ...] = ()) -> pd.DataFrame:
    frame = read_csv(path, dtype=str, usecols=lambda name: name in (*columns, *optional))
    check_names(columns, [str(name) for name in frame.columns], f"columns of '{path.name}'")
    for column in frame.columns:
        cells = frame[column].str.strip()
        frame[column] = cells.mask(cells == "")
    for name in ("empi_anon", "acc_anon"):
        frame[name] = identifiers(frame[name], f"column '{name}' of '{path.name}'")
    return frame
