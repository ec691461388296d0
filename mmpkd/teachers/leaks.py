"""Label leaks: single features, or missing values, that predict a label almost on their own."""

import re
from collections import Counter
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from data_modules.split import Split, Table
from mmpkd.metrics.classification import auroc

MIN_COUNT = 10
# enough to find a feature that predicts a label, without a word matrix of the whole data set
MAX_SAMPLES = 5000


@dataclass(frozen=True)
class Leak:
    """One feature as a classifier of one label.

    Attributes:
        label: The label.
        feature: The feature.
        auroc: AUROC on validation samples of the feature, or of its negative if that was better in training.
    """

    label: str
    feature: str
    auroc: float


def single_features(train: Split, val: Split, label_names: tuple[str, ...]) -> list[Leak]:
    """Return the best single feature of each label, chosen by AUROC on training samples and scored on validation samples.

    A label without both values in both splits has none.

    Features are the columns of the table, the words of the text, and the length of the text. At most 5,000 samples with
    privileged input are used.

    Args:
        train: Training split, on which features are chosen.
        val: Split on which they are scored.
        label_names: Names of the K labels.
    """
    train, val = (_sample(split, np.flatnonzero(split.has_privileged)) for split in (train, val))
    if not len(train) or not len(val):
        return []
    names, first, second = _features(train, val)
    return _best(names, first, second, train.label, val.label, label_names)


def _sample(split: Split, rows: NDArray[np.int64]) -> Split:
    return split.take(np.sort(np.random.default_rng(0).permutation(rows)[:MAX_SAMPLES]))


def missing_values(train: Split, val: Split, label_names: tuple[str, ...]) -> list[Leak]:
    """Return the missing value that predicts each label best, chosen on training samples and scored on validation samples.

    What can be missing is the whole privileged input, a number, or all values of a categorical column. Values that are missing
    in fewer than ten training samples, or present in fewer than ten, are left out.

    Args:
        train: Training split, on which missing values are chosen.
        val: Split on which they are scored.
        label_names: Names of the K labels.
    """
    names, first = _missing(train)
    second = _missing(val)[1]
    num_missing = first.sum(axis=0)  # (columns,)
    usable = (num_missing >= MIN_COUNT) & (num_missing <= len(train) - MIN_COUNT)
    names = [name for name, keep in zip(names, usable, strict=True) if keep]
    return _best(names, first[:, usable], second[:, usable], train.label, val.label, label_names)


def _best(
    names: list[str],
    first: NDArray[np.float32],
    second: NDArray[np.float32],
    train_label: NDArray[np.float32],
    val_label: NDArray[np.float32],
    label_names: tuple[str, ...],
) -> list[Leak]:
    found = []
    for position, label in enumerate(label_names):
        in_training, in_validation = (
            _auroc_of_columns(x, y[:, position]) for x, y in ((first, train_label), (second, val_label))
        )
        # a feature with an AUROC far below 0.5 predicts the label as well as one far above
        distance = np.abs(np.nan_to_num(in_training, nan=0.5) - 0.5)
        if not len(distance):
            continue
        best = int(distance.argmax())
        value = in_validation[best]
        if not np.isfinite([in_training[best], value]).all():
            continue  # the label has one value only: no feature predicts it
        found.append(Leak(label, names[best], float(value if in_training[best] >= 0.5 else 1 - value)))
    return found


def _auroc_of_columns(columns: NDArray[np.float32], label: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the AUROC of every column (N, C) as a classifier of one label (N,), float64 (C,)."""
    target = torch.from_numpy(label)[:, None].expand(-1, columns.shape[1])
    return np.asarray(auroc(torch.from_numpy(np.nan_to_num(columns, nan=0.0)), target).numpy())


def _features(train: Split, val: Split) -> tuple[list[str], NDArray[np.float32], NDArray[np.float32]]:
    """Return the names of C features and their values in training (N, C) and validation samples."""
    names: list[str] = []
    first: list[NDArray[np.float32]] = []
    second: list[NDArray[np.float32]] = []
    if train.table is not None and val.table is not None:
        names += [*train.table.numeric_names, *train.table.categorical_names]
        for columns, table in ((first, train.table), (second, val.table)):
            columns += [_mean_where_missing(table, train.table), table.categorical]
    if train.report is not None and val.report is not None:
        words = [_words(text) for text in train.report]
        counts = Counter(word for found in words for word in found)
        vocabulary = [word for word, count in counts.most_common(2000) if MIN_COUNT <= count <= len(words) - MIN_COUNT]
        names += [f"the word '{word}'" for word in vocabulary] + ["the length of the text"]
        first.append(_word_columns(words, vocabulary, train.report))
        second.append(_word_columns([_words(text) for text in val.report], vocabulary, val.report))
    return names, np.concatenate(first, axis=1), np.concatenate(second, axis=1)


def _mean_where_missing(table: Table, train: Table) -> NDArray[np.float32]:
    is_known = np.isfinite(train.numeric)
    mean = np.where(is_known, train.numeric, 0).sum(axis=0) / np.maximum(is_known.sum(axis=0), 1)
    return np.where(np.isfinite(table.numeric), table.numeric, mean).astype(np.float32)


def _word_columns(words: list[set[str]], vocabulary: list[str], texts: object) -> NDArray[np.float32]:
    position = {word: column for column, word in enumerate(vocabulary)}
    columns = np.zeros((len(words), len(vocabulary) + 1), dtype=np.float32)
    for row, found in enumerate(words):
        columns[row, [position[word] for word in found if word in position]] = 1
    # the last column is the length of the text in characters
    columns[:, -1] = [len(text) for text in texts]  # type: ignore[attr-defined]
    return columns


def _words(text: str) -> set[str]:
    return set(re.findall(r"[a-z]+", text.lower()))


def _missing(split: Split) -> tuple[list[str], NDArray[np.float32]]:
    names = ["any privileged input"]
    columns = [~split.has_privileged]
    if split.table is not None:
        table = split.table
        for position, name in enumerate(table.numeric_names):
            names.append(name)
            columns.append(np.isnan(table.numeric[:, position]))
        # multi-hot columns `name=value` of the same name: all zero if the name has no value
        groups: dict[str, list[int]] = {}
        for position, name in enumerate(table.categorical_names):
            groups.setdefault(name.partition("=")[0], []).append(position)
        for name, positions in groups.items():
            names.append(name)
            columns.append(table.categorical[:, positions].sum(axis=1) == 0)
    return names, np.stack(columns, axis=1).astype(np.float32)
