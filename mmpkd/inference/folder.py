"""Predictions for image files, in a folder from which a stopped command resumes."""

import argparse
import logging
import math
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.progress import track

from data_modules.files.atomic import replacing
from mmpkd.inference.dicom.source import DicomSourceError
from mmpkd.inference.image_files import Named, find_images
from mmpkd.inference.outputs import Output, outputs_of
from mmpkd.inference.predictions import FilePrediction, predict_files
from mmpkd.records.checkpoint import checkpoint_of, sha256_of, weights_file
from mmpkd.records.prediction_table import probability_column, threshold_column
from mmpkd.records.tables import read_table, write_table
from mmpkd.students import TrainedStudent, load_trained_student

logger = logging.getLogger("mmpkd")
TABLE = "predictions.parquet"
# a save rewrites the whole table, so it must not follow every file
SECONDS_BETWEEN_SAVES = 30.0


def infer_images(options: argparse.Namespace) -> int:
    """Predict, and write all requested outputs.

    Args:
        options: Arguments of `mmpkd infer`.

    Returns:
        Exit status: 0, or 1 if a file cannot be read.

    Raises:
        FileNotFoundError: If there is no student or no image.
        ValueError: If the student cannot be used, or if the folder holds predictions of another student.
    """
    checkpoint = checkpoint_of(options.student)
    trained = load_trained_student(checkpoint)
    sha256 = sha256_of(weights_file(checkpoint))
    outputs = outputs_of(trained, sha256, options)
    table = PredictionTable(options.out, trained, sha256)
    files = find_images(options.images, table.names, options.out)
    remaining = [file for file in files if not _is_done(file, table, outputs)]
    options.out.mkdir(parents=True, exist_ok=True)
    if len(remaining) < len(files):
        logger.info(
            "%d of %d files are predicted already; predicting the others", len(files) - len(remaining), len(files)
        )
    _predict(trained, remaining, table, outputs, options)
    table.finish()
    errors = table.errors(files)
    for message in errors:
        logger.error("%s", message)
    num_unpredicted = sum(not table.has_probability(file) for file in files)
    said = f"{options.out}: predictions for {len(files) - num_unpredicted} of {len(files)} files"
    num_incomplete = len(errors) - num_unpredicted
    said += f"; {num_incomplete} of these without all DICOM objects" if num_incomplete else ""
    said += f"; {num_unpredicted} could not be predicted" if num_unpredicted else ""
    sys.stdout.write(f"{said}.\n")
    return 1 if errors else 0


def _predict(
    trained: TrainedStudent,
    files: Sequence[Named],
    table: "PredictionTable",
    outputs: Sequence[Output],
    options: argparse.Namespace,
) -> None:
    results = predict_files(trained, files, options.batch_size, options.num_workers)
    saved = time.monotonic()
    try:
        for found in track(results, "infer", total=len(files), disable=not sys.stderr.isatty()):
            table.add(_written(found, outputs))
            if time.monotonic() - saved >= SECONDS_BETWEEN_SAVES:
                table.save()
                saved = time.monotonic()
    finally:
        table.save()  # keep what is done, also after Ctrl-C


def _is_done(file: Named, table: "PredictionTable", outputs: Sequence[Output]) -> bool:
    return table.is_predicted(file) and all(output.has(file) for output in outputs)


def _written(found: FilePrediction, outputs: Sequence[Output]) -> FilePrediction:
    """Write all outputs about a file, and return its prediction, with the reason if something is missing."""
    if found.probability is not None and not bool(found.probability.isfinite().all()):
        return replace(
            found, error=f"Expected finite probabilities for '{found.file.path}' but the student gives others."
        )
    for output in outputs:
        try:
            output.write(found)
        except DicomSourceError as error:
            # the probabilities are kept, and the error makes a later call try the file again
            return replace(found, error=str(error))
    return found


class PredictionTable:
    """The table of predictions in a folder, with one row per file in the order in which files were predicted.

    Args:
        folder: The folder, which need not exist yet.
        trained: The student.
        sha256: SHA-256 of the student's weights.

    Raises:
        ValueError: If the folder holds predictions of another student.
    """

    def __init__(self, folder: Path, trained: TrainedStudent, sha256: str) -> None:
        self._folder = folder
        self._trained = trained
        self._sha256 = sha256
        self._rows: dict[str, dict[str, Any]] = {}
        if (folder / TABLE).is_file():
            known = read_table(folder / TABLE)
            if known.checkpoint != sha256:
                raise ValueError(
                    f"Expected a new folder, or one with predictions of this student, but '{folder / TABLE}' is from another "
                    "one. Choose another --out, or delete it."
                )
            columns = [str(name) for name in known.frame.columns]
            # zipped, since `itertuples` renames columns whose names are not valid in Python, such as those with `/`
            rows = [dict(zip(columns, row, strict=True)) for row in known.frame.itertuples(index=False)]
            self._rows = {row["file"]: row for row in rows}

    @property
    def names(self) -> Mapping[str, str]:
        """Names of the files, by path."""
        return {path: row["name"] for path, row in self._rows.items()}

    def is_predicted(self, file: Named) -> bool:
        """Return whether a file was predicted without an error; files with an error are tried again."""
        row = self._rows.get(str(file.path))
        return row is not None and not row["error"]

    def has_probability(self, file: Named) -> bool:
        """Return whether a file was read and predicted, even if an output about it could not be written."""
        row = self._rows[str(file.path)]
        return not math.isnan(row[probability_column(self._trained.label_names[0])])

    def errors(self, files: Sequence[Named]) -> list[str]:
        """Return the errors of files that could not be read, or about which an output could not be written."""
        found = [self._rows[str(file.path)]["error"] for file in files]
        return [error for error in found if error]

    def add(self, found: FilePrediction) -> None:
        """Add the prediction of a file."""
        count = len(self._trained.label_names)
        values = np.full(count, np.nan) if found.probability is None else found.probability.numpy()
        row: dict[str, Any] = {"file": str(found.file.path), "name": found.file.name}
        for name, value, threshold in zip(self._trained.label_names, values, self._trained.thresholds, strict=True):
            row[probability_column(name)] = float(value)
            # unknown for a file that cannot be read, which is not the same as absent
            row[threshold_column(name)] = None if np.isnan(value) else bool(value >= float(threshold))
        self._rows[row["file"]] = {**row, "error": found.error}

    def save(self) -> None:
        """Write the table in its current state."""
        if self._rows:
            write_table(self._frame(), self._folder / TABLE, self._sha256)

    def finish(self) -> None:
        """Write the table as CSV as well."""
        with replacing(self._folder / "predictions.csv") as temporary:
            self._frame().to_csv(temporary, index=False)

    def _frame(self) -> pd.DataFrame:
        frame = pd.DataFrame(list(self._rows.values()))
        for name in self._trained.label_names:
            frame[probability_column(name)] = frame[probability_column(name)].astype(np.float32)
            # pandas' nullable type: a plain bool would turn unknown into False
            frame[threshold_column(name)] = frame[threshold_column(name)].astype("boolean")
        return frame
