from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from data_modules.split import Split
from mmpkd.teachers import TabularEncoder
from tests.tiny import write_tiny


def train_split(root: Path) -> Split:
    split = write_tiny(root, {"train": 8})["train"]
    assert split.table is not None
    numeric = np.array([[1], [3], [np.nan], [5], [3], [3], [3], [1000]], dtype=np.float32)
    return replace(split, table=replace(split.table, numeric=numeric))


def built(root: Path) -> TabularEncoder:
    encoder = TabularEncoder(width=4, depth=2)
    encoder.build(encoder.learn(train_split(root)))
    return encoder.eval()


def test_statistics_leave_out_missing_values_and_samples_without_a_table(tmp_path: Path) -> None:
    encoder = built(tmp_path)  # the last row, 1000, has no privileged input
    stated = np.array([1, 3, 5, 3, 3, 3])
    assert encoder.mean.item() == pytest.approx(stated.mean())
    assert encoder.std.item() == pytest.approx(stated.std())


def test_a_missing_value_is_the_mean_and_nothing_says_that_it_is_missing(tmp_path: Path) -> None:
    encoder = built(tmp_path)
    categorical = torch.tensor([[0.0, 1.0]])
    missing = encoder({"numeric": torch.tensor([[torch.nan]]), "categorical": categorical})
    mean = encoder({"numeric": encoder.mean[None], "categorical": categorical})
    torch.testing.assert_close(missing, mean)


def test_both_kinds_of_columns_reach_the_features(tmp_path: Path) -> None:
    encoder = built(tmp_path)
    base = {"numeric": torch.tensor([[1.0]]), "categorical": torch.tensor([[0.0, 1.0]])}
    features = encoder(base)
    assert features.shape == (1, encoder.num_features)
    for change in ({"numeric": torch.tensor([[9.0]])}, {"categorical": torch.tensor([[1.0, 0.0]])}):
        assert not torch.allclose(encoder({**base, **change}), features)


def test_data_without_a_table_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="tabular columns"):
        TabularEncoder().learn(replace(train_split(tmp_path), table=None))


def test_other_columns_than_those_of_the_training_are_refused(tmp_path: Path) -> None:
    encoder, split = built(tmp_path), train_split(tmp_path)
    encoder.check(split)
    assert encoder.reads == ("a", "b=0", "b=1")
    assert split.table is not None
    swapped = replace(split.table, categorical_names=("b=1", "b=0"), categorical=split.table.categorical[:, ::-1])
    with pytest.raises(ValueError, match="Expected the columns that the teacher was trained on"):
        encoder.check(replace(split, table=swapped))
    with pytest.raises(ValueError, match="Expected the columns"):
        encoder.check(replace(split, table=None))


def test_infinite_numbers_are_refused(tmp_path: Path) -> None:
    split = train_split(tmp_path)
    assert split.table is not None
    split.table.numeric[0] = np.inf
    with pytest.raises(ValueError, match="infinite"):
        TabularEncoder().learn(split)
