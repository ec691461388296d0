from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from data_modules.split import Split, Table
from mmpkd.teachers.leaks import missing_values, single_features


def split(seed: int, n: int = 200) -> Split:
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 2, (n, 1)).astype(np.float32)
    numeric = np.stack([rng.normal(size=n), 2 - label[:, 0] + 0.1 * rng.normal(size=n)], axis=1).astype(np.float32)
    categorical = rng.integers(0, 2, (n, 2)).astype(np.float32)
    categorical[label[:, 0] == 1] = 0  # never stated where the label is present
    names = np.array([f"s{i}" for i in range(n)])
    table = Table(numeric, categorical, ("noise", "size"), ("type=A", "type=B"))
    words = ["a small nodule" if y else "a clear lung" for y in label[:, 0]]
    return Split(names, names, [Path()] * n, label, np.ones(n, np.bool_), words, table)


def test_the_feature_that_is_the_label_is_named() -> None:
    (leak,) = single_features(replace(split(0), report=None), replace(split(1), report=None), ("Nodule",))
    assert leak.feature == "size"
    assert leak.auroc == pytest.approx(1, abs=0.01)
    (word,) = single_features(replace(split(0), table=None), replace(split(1), table=None), ("Nodule",))
    assert "word" in word.feature
    assert word.auroc == 1


def test_a_column_whose_absence_tells_the_label_is_named() -> None:
    (leak,) = missing_values(split(0), split(1), ("Nodule",))
    assert leak.feature == "type"
    assert leak.auroc > 0.8


def test_nothing_is_missing_where_everything_is_stated() -> None:
    table = split(0).table
    assert table is not None
    complete = replace(split(0), table=replace(table, categorical=np.ones_like(table.categorical)))
    assert missing_values(complete, complete, ("Nodule",)) == []


def test_a_label_of_one_value_has_no_best_feature() -> None:
    for value in (0, 1, np.nan):
        constant = np.full((200, 1), value, np.float32)
        for train, val in (
            (replace(split(0), label=constant), split(1)),
            (split(0), replace(split(1), label=constant)),
        ):
            assert single_features(train, val, ("Nodule",)) == []
            assert missing_values(train, val, ("Nodule",)) == []
