"""Reading of stored targets. The files are described in `mmpkd.teachers.targets`; outside models may write them, too."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data_modules.columns import identifiers
from data_modules.files.array_file import read_array
from data_modules.files.json_file import read_json
from mmpkd.teachers.targets import TargetsMeta, TeacherTargets
from mmpkd.teachers.teacher import TeacherIdentity

REQUIRED = ("logits.npy", "available.npy", "sample_id.txt", "meta.json")


def load_targets(folder: Path) -> TeacherTargets:
    """Open stored targets. Arrays stay on disk until they are used.

    Raises:
        FileNotFoundError: If the folder is incomplete.
        ValueError: If the arrays do not have one row per identifier and one column per label, or another type, an identifier is
            blank or occurs twice, or a logit or feature of an available sample is not finite.
    """
    missing = [name for name in REQUIRED if not (folder / name).is_file()]
    if missing:
        raise FileNotFoundError(f"Expected stored targets in '{folder}' but {missing} are missing.")
    meta = _read_meta(folder / "meta.json")
    sample_id = _read_names(folder / "sample_id.txt", is_outside=not meta.teachers)
    logits = _read_numbers(folder / "logits.npy")
    if logits.ndim == 2:
        logits = logits[None]
    available = _read_available(folder / "available.npy")
    path = folder / "features.npy"
    features = _read_numbers(path) if path.is_file() else np.zeros((len(sample_id), 0), np.float16)
    # numbers that overflow in the narrower types become infinite and are refused below
    with np.errstate(over="ignore"):
        logits = logits.astype(np.float32, copy=False)
        features = features.astype(np.float16, copy=False)
    hashes = folder / "row_hash.npy"
    row_hash = read_array(hashes) if hashes.is_file() else None
    targets = TeacherTargets(logits, features, available, sample_id, meta, row_hash)
    _check_rows(targets, folder)
    targets.check_finite(folder)
    return targets


def _check_rows(targets: TeacherTargets, folder: Path) -> None:
    """Check that arrays and identifiers have one row per sample, and that no sample occurs twice."""
    logits = targets.logits.shape
    features = targets.features.shape
    available = targets.available.shape
    expected = (len(targets.sample_id), len(targets.meta.label_names))
    are_rows = logits[1:] == expected and features[:1] == available == expected[:1]
    if not are_rows or logits[0] == 0 or len(features) != 2:
        raise ValueError(
            f"Expected logits of shape {expected} (samples, labels) and one row per sample in '{folder}' but "
            f"got logits {logits}, features {features}, available {available}."
        )
    if len(np.unique(targets.sample_id)) != expected[0]:
        raise ValueError(f"Expected unique identifiers in '{folder}/sample_id.txt' but some are repeated.")


def _read_names(path: Path, is_outside: bool) -> NDArray[np.str_]:
    try:
        # editors of Windows begin UTF-8 with a byte order mark, which would become part of the first name
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"Expected text in UTF-8 in '{path}' but got: {error}. Save it as UTF-8.") from error
    # our own are those of samples, which were checked when the data were read
    if not is_outside:
        return np.array(lines, dtype=np.str_)
    column = pd.Series(lines, index=pd.RangeIndex(1, len(lines) + 1, name="line"), dtype=object)
    return identifiers(column, f"'{path}'")


def _read_numbers(path: Path) -> NDArray[Any]:
    array = read_array(path)
    if array.dtype.kind not in "fiu":
        raise ValueError(f"Expected real numbers in '{path}' but got {array.dtype}.")
    return array


def _read_available(path: Path) -> NDArray[np.bool_]:
    array = read_array(path)
    # anything else that is not zero would count as True: texts, NaN, and positions of samples
    if array.dtype.kind not in "bfiu" or not np.isin(array, (0, 1)).all():
        raise ValueError(f"Expected True or False for each sample in '{path}' but got {array.dtype} with other values.")
    return array.astype(np.bool_, copy=False)


def _read_meta(path: Path) -> TargetsMeta:
    content = read_json(path)
    names = [entry.name for entry in fields(TargetsMeta)]
    unknown = sorted(set(content) - set(names))
    if unknown or "label_names" not in content:
        raise ValueError(f"Expected `label_names`, and optionally {names[1:]}, in '{path}' but got {sorted(content)}.")
    labels = content["label_names"]
    thresholds = content.get("thresholds")
    if not (isinstance(labels, list) and labels and all(isinstance(name, str) for name in labels)):
        raise ValueError(f"Expected a list of names as `label_names` in '{path}' but got {labels!r}.")
    if thresholds is not None and not _are_probabilities(thresholds, len(labels)):
        raise ValueError(f"Expected {len(labels)} probabilities as `thresholds` in '{path}' but got {thresholds!r}.")
    try:
        teachers = [TeacherIdentity(**entry) for entry in content.pop("teachers", [])]
    except TypeError as error:
        raise ValueError(f"Expected `teachers` in '{path}' as mmpkd writes them but got: {error}.") from error
    return TargetsMeta(**content, teachers=teachers)


def _are_probabilities(values: object, count: int) -> bool:
    numbers = values if isinstance(values, list) else []
    return len(numbers) == count and all(isinstance(value, int | float) and 0 <= value <= 1 for value in numbers)
