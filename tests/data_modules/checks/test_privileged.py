"""Privileged columns: constant, infinite, or the label under another name."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from data_modules.checks import privileged
from data_modules.checks.privileged import binary_areas, rank_areas
from data_modules.split import Split, Table
from tests.data_modules.checks.given import check, only, problem

N = 12


@given(
    arrays(np.float32, N, elements=st.sampled_from([-1.0, 0.0, 0.5, 2.0, np.nan])),
    arrays(np.float32, (N, 2), elements=st.sampled_from([0.0, 1.0, np.nan])),
)
def test_areas_are_those_of_scikit_learn(values: NDArray[np.float32], labels: NDArray[np.float32]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(privileged, "LEAST", 1)
        numeric = rank_areas(values, labels)
        binary = binary_areas((values > 0)[:, None].astype(np.float32), labels)[0]
    for column, label in enumerate(labels.T):
        for area, own in ((numeric, values), (binary, (values > 0).astype(np.float32))):
            stated = ~np.isnan(own) & ~np.isnan(label)
            if len(set(label[stated])) == 2:
                assert area[column] == pytest.approx(roc_auc_score(label[stated], own[stated]))
            else:
                assert np.isnan(area[column])


def with_table(splits: dict[str, Split], numeric: NDArray[np.float32], name: str = "crp") -> dict[str, Split]:
    table = Table(numeric[:, None], np.zeros((20, 0), np.float32), (name,), ())
    label = np.tile(np.arange(20, dtype=np.float32)[:, None] % 2, (1, 2))
    label[:, 1] = np.roll(label[:, 1], 1) * (np.arange(20) < 18)
    return splits | {"train": replace(splits["train"], table=table, label=label)}


LABEL = np.arange(20) % 2


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (3 - 2 * LABEL, "column 'crp' tells 'Left Finding', with an AUROC of 0.000"),
        (np.where(LABEL, np.arange(20) + 30, np.arange(20)), "AUROC of 1.000"),
        (np.where(LABEL, np.arange(20), np.nan), "whether column 'crp' is stated tells 'Left Finding'"),
    ],
)
def test_a_column_that_is_the_label_is_named(splits: dict[str, Split], values: NDArray[np.float32], words: str) -> None:
    report = check(with_table(splits, values.astype(np.float32)), 0)
    assert problem(report)[:3] == ("warning", "privileged", "train")
    assert words in only(report).message


def test_a_column_that_ranks_most_samples_is_fine(splits: dict[str, Split]) -> None:
    values = LABEL.astype(np.float32)
    values[:3] = 1 - values[:3]
    assert check(with_table(splits, values), 0).problems == ()


def test_who_has_privileged_input_may_be_the_label(splits: dict[str, Split]) -> None:
    changed = with_table(splits, np.arange(20, dtype=np.float32) % 7)
    train = replace(changed["train"], has_privileged=LABEL == 1)
    report = check(changed | {"train": train}, 0)
    assert "whether there is privileged input tells 'Left Finding'" in only(report).message


def test_infinite_numbers_are_an_error_in_every_split(splits: dict[str, Split]) -> None:
    table = splits["val"].table
    assert table is not None
    numeric = table.numeric.copy()
    numeric[:2, 0] = np.inf, -np.inf
    report = check(splits | {"val": replace(splits["val"], table=replace(table, numeric=numeric))}, 0)
    assert problem(report) == ("error", "privileged", "val", 2)


def test_texts_that_are_all_the_same_are_pointed_out(splits: dict[str, Split]) -> None:
    report = check(splits | {"train": replace(splits["train"], report=["no findings"] * 19 + [""])}, 0)
    assert problem(report)[:3] == ("warning", "privileged", "train")


def test_categories_that_look_like_missing_values_are_pointed_out(splits: dict[str, Split]) -> None:
    categorical = np.eye(4, dtype=np.float32)[np.arange(20) * 3 % 7 % 4]
    names = ("finding=NA", "finding=cyst", "finding=na", "side=NA and left")
    table = Table(np.zeros((20, 0), np.float32), categorical, (), names)
    report = check(splits | {"train": replace(splits["train"], table=table)}, 0)
    assert problem(report) == ("warning", "privileged", "train", int(categorical[:, 0].sum()))
    assert "column 'finding' has no value but 'NA' is a category of its own" in only(report).message
