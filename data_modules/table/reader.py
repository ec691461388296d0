"""Read a table of samples."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data_modules.columns import binary_column, check_names
from data_modules.csv_file import read_csv
from data_modules.regions import Roi
from data_modules.split import Split, Table
from data_modules.table.rois import RoiColumns, read_rois

RoiPatients = Literal["drop", "test"]


@dataclass(frozen=True)
class TableReader:
    """Reads one CSV or Parquet file. See `TableDataModule` for the fields."""

    path: Path
    image_root: Path
    image_column: str
    label_columns: tuple[str, ...]
    sample_column: str
    patient_column: str
    split_column: str
    split_values: Mapping[str, str]
    text_column: str | None
    numeric_columns: tuple[str, ...]
    categorical_columns: tuple[str, ...]
    category_separator: str
    strata_columns: tuple[str, ...]
    rois: RoiColumns | None
    roi_patients: RoiPatients
    where: str | None

    def read(self) -> Mapping[str, Split]:
        """Return the splits `train`, `val` and `test`.

        Raises:
            FileNotFoundError: If there is no table.
            ValueError: If a column is unknown, a label is not 1, 0 or blank, a patient is in two splits, or rows of one sample
                contradict each other.
        """
        frame = self._frame()
        self._check_repeated_rows(frame)
        samples = frame.drop_duplicates(self.sample_column).reset_index(drop=True)
        name_of = {value: name for name, value in self.split_values.items()}
        unknown = sorted(set(samples[self.split_column].astype(str)) - set(name_of))
        if unknown:
            raise ValueError(f"Expected the splits {sorted(name_of)} in '{self.split_column}' but found {unknown}.")
        split = samples[self.split_column].astype(str).map(name_of).to_numpy(dtype=object)
        rois = self._rois(frame, samples)
        moved = self._separate(samples, split, rois)
        vocabulary = self._vocabulary(samples[split == "train"])
        counts = {"dropped_roi_patients": int((split == "").sum()), "moved_to_test": moved}
        return {
            name: self._split(
                samples, np.flatnonzero(split == name), rois, vocabulary, counts if name == "train" else {}
            )
            for name in ("train", "val", "test")
        }

    def _frame(self) -> pd.DataFrame:
        if not self.path.is_file():
            raise FileNotFoundError(f"Expected a table at '{self.path}' but there is none. Set data.path.")
        # text like N/A is a value here; only an empty cell is missing
        reader = pd.read_parquet if self.path.suffix == ".parquet" else _read_csv
        frame = reader(self.path)
        for column in (self.sample_column, self.patient_column):
            if column in frame:
                frame[column] = frame[column].astype(str)
        rois = self.rois.columns if self.rois is not None else ()
        text = (self.text_column,) if self.text_column else ()
        named = (self.image_column, self.sample_column, self.patient_column, self.split_column, *self.label_columns)
        check_names(
            (*named, *text, *self.numeric_columns, *self.categorical_columns, *self.strata_columns, *rois),
            [str(column) for column in frame.columns],
            f"columns of '{self.path.name}'",
        )
        return frame if self.where is None else frame.query(self.where).reset_index(drop=True)

    def _check_repeated_rows(self, frame: pd.DataFrame) -> None:
        """Check that several rows of one sample differ in their boxes only; which row would count otherwise?"""
        text = (self.text_column,) if self.text_column else ()
        one = (self.image_column, self.patient_column, self.split_column, *self.label_columns, *text)
        named = dict.fromkeys([*one, *self.numeric_columns, *self.categorical_columns, *self.strata_columns])
        columns = [column for column in named if column != self.sample_column]
        different = frame[[self.sample_column, *columns]].drop_duplicates()
        repeated = different[different.duplicated(self.sample_column, keep=False)]
        if repeated.empty:
            return
        name = repeated[self.sample_column].iloc[0]
        rows = repeated[repeated[self.sample_column] == name]
        differing = [column for column in columns if len(rows[column].drop_duplicates()) > 1]
        raise ValueError(
            f"Expected the rows of sample '{name}' in '{self.path.name}' to differ in their boxes only but they differ in "
            f"{differing}. Give different samples different values of '{self.sample_column}', or make the rows agree."
        )

    def _rois(self, frame: pd.DataFrame, samples: pd.DataFrame) -> dict[int, tuple[Roi, ...]]:
        """Return the ROIs of each sample that has one, by row."""
        if self.rois is None:
            return {}
        found = read_rois(self.rois, frame, self.sample_column, self.label_columns, self.image_root)
        return {row: found[name] for row, name in enumerate(samples[self.sample_column]) if name in found}

    def _separate(self, samples: pd.DataFrame, split: NDArray[np.object_], rois: Mapping[int, object]) -> int:
        """Take patients with an ROI out of training, in place; return how many samples moved to the test split."""
        patients = samples[self.patient_column].astype(str)
        owners = set(patients.iloc[sorted(rois)])
        own = patients.isin(owners).to_numpy() & (split == "train")
        if self.roi_patients == "drop":
            split[own] = ""
            return 0
        split[own] = "test"
        return int(own.sum())

    def _vocabulary(self, train: pd.DataFrame) -> dict[str, list[str]]:
        """Return the values of the categorical columns in training, by column."""
        return {
            column: sorted({value for cell in train[column].dropna() for value in self._values(cell)})
            for column in self.categorical_columns
        }

    def _values(self, cell: object) -> list[str]:
        return [value.strip() for value in str(cell).split(self.category_separator) if value.strip()]

    def _table(self, rows: pd.DataFrame, vocabulary: Mapping[str, Sequence[str]]) -> Table | None:
        if not self.numeric_columns and not self.categorical_columns:
            return None
        numeric = [pd.to_numeric(rows[column], errors="raise") for column in self.numeric_columns]
        names = [(column, value) for column in self.categorical_columns for value in vocabulary[column]]
        hot = np.zeros((len(rows), len(names)), dtype=np.float32)
        cells = {
            column: [set(self._values(cell)) if pd.notna(cell) else set() for cell in rows[column]]
            for column in vocabulary
        }
        for position, (column, value) in enumerate(names):
            hot[:, position] = [value in values for values in cells[column]]
        stacked = (
            np.stack([c.to_numpy(dtype=np.float32) for c in numeric], 1)
            if numeric
            else np.zeros((len(rows), 0), np.float32)
        )
        return Table(stacked, hot, self.numeric_columns, tuple(f"{column}={value}" for column, value in names))

    def _split(
        self,
        samples: pd.DataFrame,
        positions: NDArray[np.int64],
        rois: Mapping[int, tuple[Roi, ...]],
        vocabulary: Mapping[str, Sequence[str]],
        counts: Mapping[str, int],
    ) -> Split:
        rows = samples.iloc[positions]
        label = np.stack([binary_column(rows[name], f"'{name}'") for name in self.label_columns], axis=1)
        report = None
        has = np.ones(len(rows), dtype=np.bool_)
        if self.text_column is not None:
            report = ["" if pd.isna(text) else " ".join(str(text).split()) for text in rows[self.text_column]]
            has = np.array([bool(text) for text in report], dtype=np.bool_)
        return Split(
            sample_id=rows[self.sample_column].astype(str).to_numpy(dtype=np.str_),
            patient_id=rows[self.patient_column].astype(str).to_numpy(dtype=np.str_),
            image=[self.image_root / str(name) for name in rows[self.image_column]],
            label=label,
            has_privileged=has,
            report=report,
            table=self._table(rows, vocabulary),
            rois={new: rois[int(old)] for new, old in enumerate(positions) if int(old) in rois},
            counts=counts,
            strata={name: rows[name].fillna("").astype(str).to_numpy(dtype=np.str_) for name in self.strata_columns},
        )


def _read_csv(path: Path) -> pd.DataFrame:
    # read as written first: 001 is an identifier, and N/A a value; columns of numbers are converted where they are used
    return read_csv(path, keep_default_na=False, na_values=[""], dtype=str)
