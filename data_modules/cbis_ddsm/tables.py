"""Read the four description files of CBIS-DDSM into one frame with one row per abnormality."""

from pathlib import Path
from typing import Literal

import pandas as pd

from data_modules.files.csv_file import read_csv
from data_modules.files.folders import find_file

Kind = Literal["mass", "calc"]
Abnormality = Literal["mass", "calc", "both"]

# "not stated" in the distributed files and in the copies in circulation
MISSING = ("", "N/A", "NA", "NAN", "nan")

# The mass files write `breast_density`, the calcification files `breast density`: both become `density`.
COLUMNS = {
    "patient_id": "patient_id",
    "left or right breast": "side",
    "image view": "view",
    "abnormality id": "abnormality_id",
    "abnormality type": "type",
    "breast density": "density",
    "assessment": "assessment",
    "subtlety": "subtlety",
    "pathology": "pathology",
}
DESCRIPTOR_COLUMNS: dict[Kind, dict[str, str]] = {
    "mass": {"mass shape": "shape", "mass margins": "margins"},
    "calc": {"calc type": "calc_type", "calc distribution": "distribution"},
}
VOCABULARY = {
    "side": ("LEFT", "RIGHT"),
    "view": ("CC", "MLO"),
    "pathology": ("MALIGNANT", "BENIGN", "BENIGN_WITHOUT_CALLBACK"),
}
TYPE = {"mass": "mass", "calc": "calcification"}
# 0 means "not assessed" in all three
RATINGS = {"density": 4, "assessment": 5, "subtlety": 5}
_HINT = "Download the four description files from the CBIS-DDSM page of The Cancer Imaging Archive and put them there."
SUBSET_FOLDER = {"train": "Training", "test": "Test"}


def read_tables(root: Path, abnormality: Abnormality) -> pd.DataFrame:
    """Read the description files of training and test set.

    Args:
        root: Folder that holds the CSV files, directly or in a folder below, such as `csv/`.
        abnormality: Kind of files to read.

    Returns:
        One row per abnormality, in the order of the files, with the columns `kind` (mass, calc), `subset` (train,
        test), `patient_id`, `side`, `view`, `abnormality_id` (int), `pathology`; `density`, `assessment`, `subtlety`
        (float, NaN = missing); `shape`, `margins`, `calc_type`, `distribution` (as written, NaN = missing);
        `image_folder` and `roi_folder`, the TCIA PatientIDs of the full image and of crop and mask; `image_series` and
        `roi_series`, tuples of the series that their paths name, empty where a copy of the files strips paths.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If a column is missing or a value is outside the documented vocabulary.
    """
    kinds: tuple[Kind, ...] = ("mass", "calc") if abnormality == "both" else (abnormality,)
    frames = [_read_file(root, kind, subset) for kind in kinds for subset in ("train", "test")]
    frame = pd.concat(frames, ignore_index=True)
    # the columns of the other kind always exist, with missing values, so that the frame has one form
    names = [name for columns in DESCRIPTOR_COLUMNS.values() for name in columns.values()]
    return frame.assign(**{name: None for name in names if name not in frame})


def _read_file(root: Path, kind: Kind, subset: str) -> pd.DataFrame:
    path = find_file(root, f"{kind}_case_description_{subset}_set.csv", hint=_HINT)
    # "N/A" is a value in these files, so pandas must not decide which cells are missing
    raw = read_csv(path, dtype=str, keep_default_na=False)
    raw.columns = pd.Index([name.strip().replace("breast_density", "breast density") for name in raw.columns])
    names = COLUMNS | DESCRIPTOR_COLUMNS[kind]
    absent = [name for name in names if name not in raw.columns]
    if absent:
        raise ValueError(f"Expected the columns {absent} in '{path.name}' but found {list(raw.columns)}.")
    frame = raw[list(names)].rename(columns=names).apply(lambda column: column.str.strip())
    frame["image_series"] = _series(raw, ("image file path",))
    # These two columns are swapped in some files, and do not match the delivery. Content shows which one is the mask.
    frame["roi_series"] = _series(raw, ("cropped image file path", "ROI mask file path"))
    _check_values(frame, kind, path.name)
    for name, highest in RATINGS.items():
        frame[name] = _rating(frame[name], highest, path.name)
    frame["abnormality_id"] = frame["abnormality_id"].astype(int)
    for name in DESCRIPTOR_COLUMNS[kind].values():
        frame[name] = frame[name].where(~frame[name].isin(MISSING))
    return _add_folders(frame.drop(columns="type").assign(kind=kind, subset=subset), path.name)


def _check_values(frame: pd.DataFrame, kind: Kind, file: str) -> None:
    allowed: dict[str, tuple[str, ...]] = {**VOCABULARY, "type": (TYPE[kind],)}
    for name, values in allowed.items():
        unknown = sorted(set(frame[name]) - set(values))
        if unknown:
            raise ValueError(f"Expected '{name}' in '{file}' to be one of {list(values)} but found {unknown}.")
    for name, pattern in {"patient_id": r"P_\d+", "abnormality_id": r"[1-9]\d*"}.items():
        wrong = frame.loc[~frame[name].str.fullmatch(pattern), name]
        if len(wrong):
            raise ValueError(f"Expected '{name}' in '{file}' to match '{pattern}' but found '{wrong.iloc[0]}'.")


def _rating(column: "pd.Series[str]", highest: int, file: str) -> "pd.Series[float]":
    values = pd.to_numeric(column.where(~column.isin(MISSING), "0"), errors="coerce")
    wrong = column[~values.isin(range(highest + 1))]
    if len(wrong):
        raise ValueError(
            f"Expected '{column.name}' in '{file}' to be an integer from 0 (missing) to {highest} but found "
            f"'{wrong.iloc[0]}'."
        )
    return values.astype(float).where(values > 0)


def _series(raw: pd.DataFrame, columns: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Return the series in the paths `<PatientID>/<StudyUID>/<SeriesUID>/<file>` of some columns, one tuple per row."""
    series: list[tuple[str, ...]] = [()] * len(raw)
    for name in [name for name in columns if name in raw]:
        for row, parts in enumerate(raw[name].str.strip().str.split("/")):
            if len(parts) >= 4:
                series[row] += (parts[-2],)
    return series


def _add_folders(frame: pd.DataFrame, file: str) -> pd.DataFrame:
    # The paths in the tables do not match the files of TCIA beyond their first component, and some copies strip them.
    # That component always equals the name that is built here (checked on all 3,568 rows).
    prefix = frame["kind"].str.capitalize() + "-" + frame["subset"].map(SUBSET_FOLDER)
    image = prefix + "_" + frame["patient_id"] + "_" + frame["side"] + "_" + frame["view"]
    roi = image + "_" + frame["abnormality_id"].astype(str)
    if roi.duplicated().any():
        raise ValueError(
            f"Expected one row per patient, side, view and abnormality id in '{file}' but found several for "
            f"{int(roi.duplicated().sum())} of them. Restore the distributed file."
        )
    return frame.assign(image_folder=image, roi_folder=roi)
