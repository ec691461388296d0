"""Read a table of samples."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data_modules.columns import (
    binary_column,
    identifiers,
    refuse_words_for_missing,
    rows_in_words,
    texts,
    without_decimal_points,
)
from data_modules.images.regions import Roi
from data_modules.split import Split, taken_out
from data_modules.table.files import read_table
from data_modules.table.privileged import PrivilegedColumns
from data_modules.table.rois import RoiColumns, read_rois
from data_modules.table.split_column import SplitColumn
from data_modules.table.where import RowFilter

Rois = Mapping[int, tuple[Roi, ...]]
# settings whose columns describe a sample rather than one of its regions
_OF_A_SAMPLE = (
    "image_column",
    "patient_column",
    "split.column",
    "label_columns",
    "privileged.text",
    "privileged.numeric",
    "privileged.categorical",
    "strata_columns",
)


@dataclass(frozen=True)
class TableReader:
    """Reads one CSV or Parquet file. See `TableDataModule` for the fields."""

    path: Path
    image_root: Path
    image_column: str
    label_columns: tuple[str, ...]
    sample_column: str
    patient_column: str
    split: SplitColumn
    privileged: PrivilegedColumns
    strata_columns: tuple[str, ...]
    rois: RoiColumns
    where: RowFilter | None

    def __post_init__(self) -> None:
        for setting, names in self.used.items():
            repeated = sorted({name for name in names if names.count(name) > 1})
            # a pattern or a condition may name a column twice
            if repeated and setting not in ("rois.mask_pattern", "where"):
                raise ValueError(f"Expected each column once in data.{setting} but got {repeated} twice or more.")

    @property
    def used(self) -> dict[str, tuple[str, ...]]:
        """The columns that are used, by the setting that names them."""
        return {
            "image_column": (self.image_column,),
            "sample_column": (self.sample_column,),
            "patient_column": (self.patient_column,),
            "split.column": (self.split.column,),
            "label_columns": self.label_columns,
            "strata_columns": self.strata_columns,
            "where": self.where.columns if self.where is not None else (),
            **self.privileged.used,
            **self.rois.used,
        }

    def read(self) -> Mapping[str, Split]:
        """Return the splits `train`, `val` and `test`, as far as the table has samples of them.

        Raises:
            FileNotFoundError: If there is no table.
            ValueError: If the table cannot be read, a column is unknown, a cell does not hold what it should, or rows of one
                sample contradict each other.
        """
        frame = self._frame()
        self._check_repeated_rows(frame)
        # rows of the same sample agree in all but their regions
        samples = frame.drop_duplicates(self.sample_column)
        if self.privileged.text is not None:
            refuse_words_for_missing(samples[self.privileged.text], self._what(self.privileged.text))
        label = np.stack([binary_column(samples[name], self._what(name)) for name in self.label_columns], axis=1)
        subset = self.split.names(samples, self.path.name)
        rois = self._rois(frame, samples)
        counts = self._separate(samples, label, subset, rois)
        # only now: categories of patients who have just left training must stay unknown
        vocabulary = self.privileged.vocabulary(samples[subset == "train"])
        return {
            name: self._split(
                samples, label, np.flatnonzero(subset == name), rois, vocabulary, counts if name == "train" else {}
            )
            for name in ("train", "val", "test")
            if (subset == name).any()
        }

    def _what(self, column: str) -> str:
        return f"column '{column}' of '{self.path.name}'"

    def _frame(self) -> pd.DataFrame:
        """Return the cells that are used, with the rows of the file as index."""
        cells = read_table(self.path, self.used)
        # `where` sees cells as they are written
        frame = cells.apply(without_decimal_points)
        if self.where is not None:
            frame = frame.loc[self.where(cells, self.path.name).index]
        needed = dict.fromkeys((self.sample_column, self.patient_column, self.image_column, self.split.column))
        return frame.assign(**{name: identifiers(frame[name], self._what(name)) for name in needed})

    def _check_repeated_rows(self, frame: pd.DataFrame) -> None:
        """Check that several rows of one sample differ only in their regions, since it would be unclear which row counts."""
        columns = [name for setting in _OF_A_SAMPLE for name in self.used[setting] if name != self.sample_column]
        columns = list(dict.fromkeys(columns))
        different = frame[[self.sample_column, *columns]].drop_duplicates()
        repeated = different[different.duplicated(self.sample_column, keep=False)]
        if repeated.empty:
            return
        name = repeated[self.sample_column].iloc[0]
        rows = repeated[repeated[self.sample_column] == name]
        differing = [column for column in columns if len(rows[column].drop_duplicates()) > 1]
        places = rows_in_words(rows[self.sample_column], np.ones(len(rows), dtype=np.bool_))
        raise ValueError(
            f"Expected the rows of sample '{name}' in '{self.path.name}' to differ in their boxes only but they differ in "
            f"{differing} ({places}). Give different samples different values of '{self.sample_column}', or make the rows agree."
        )

    def _rois(self, frame: pd.DataFrame, samples: pd.DataFrame) -> Rois:
        """Return the ROIs of each sample that has one, by position."""
        if self.rois.is_empty:
            return {}
        found = read_rois(self.rois, frame, self.sample_column, self.label_columns, self.image_root, self.path.name)
        return {row: found[name] for row, name in enumerate(samples[self.sample_column]) if name in found}

    def _separate(
        self, samples: pd.DataFrame, label: NDArray[np.float32], subset: NDArray[np.object_], rois: Rois
    ) -> dict[str, int]:
        """Take patients with an ROI out of training, changing `subset` in place, and return counts of what is lost."""
        patients = samples[self.patient_column]
        # keys of `rois` are positions among the samples
        owners = set(patients.iloc[sorted(rois)])
        own = patients.isin(owners).to_numpy(dtype=np.bool_) & (subset == "train")
        is_dropped = self.rois.patients == "drop"
        # rows with an empty name are in no split
        subset[own] = "" if is_dropped else "test"
        positives = (label[own] == 1).sum(axis=0).tolist()
        return {
            "dropped_roi_patients": int(own.sum()) if is_dropped else 0,
            "dropped_rois": sum(bool(own[row]) for row in rois) if is_dropped else 0,
            "moved_to_test": 0 if is_dropped else int(own.sum()),
            **{taken_out(name): count for name, count in zip(self.label_columns, positives, strict=True) if count},
        }

    def _split(
        self,
        samples: pd.DataFrame,
        label: NDArray[np.float32],
        positions: NDArray[np.int64],
        rois: Rois,
        vocabulary: Mapping[str, Sequence[str]],
        counts: Mapping[str, int],
    ) -> Split:
        rows = samples.iloc[positions]
        report = None
        table = self.privileged.table(rows, vocabulary, self.path.name)
        has = np.ones(len(rows), dtype=np.bool_) if table is None else table.has_value
        if self.privileged.text is not None:
            report = [" ".join(text.split()) for text in texts(rows[self.privileged.text]).tolist()]
            has = np.array([bool(text) for text in report], dtype=np.bool_)
        return Split(
            sample_id=np.array(rows[self.sample_column].tolist(), dtype=np.str_),
            patient_id=np.array(rows[self.patient_column].tolist(), dtype=np.str_),
            image=[self.image_root / name for name in rows[self.image_column]],
            label=label[positions],
            has_privileged=has,
            report=report,
            table=table,
            # from positions among all samples to positions in the split
            rois={new: rois[int(old)] for new, old in enumerate(positions) if int(old) in rois},
            counts=counts,
            strata={name: texts(rows[name]) for name in self.strata_columns},
        )
