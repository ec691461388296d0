"""Check that privileged input is informative, and is not just the labels."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from data_modules.checks.report import Problem
from data_modules.columns import WORDS_FOR_MISSING
from data_modules.split import Split, Table

# a column with an AUROC of at least this, or at most 1 minus this, is the label under another name
LEAK = 0.99
# with fewer of either class, such an AUROC can be chance
LEAST = 10


def check_privileged(name: str, split: Split, label_names: Sequence[str]) -> Iterator[Problem]:
    """Yield the problems of the privileged input of a split."""
    if split.table is not None:
        yield from _infinite(name, split.table)
    if name != "train" or not len(split):
        return
    if not split.has_privileged.any():
        message = "Expected reports or tables to train a teacher on but no sample has one."
        yield Problem("error", "privileged", name, message, 0)
    if split.report is not None and len(set(split.report) - {""}) == 1:
        yield Problem("warning", "privileged", name, "Expected texts that differ but all are the same.", len(split))
    if split.table is not None:
        yield from _constant(name, split.table)
        yield from _words_for_missing(name, split.table)
    yield from _leaks(name, split, label_names)


def rank_areas(values: NDArray[np.float32], labels: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the area under the ROC curve of a column for each label; ties count half.

    Source: Mann and Whitney 1947, https://doi.org/10.1214/aoms/1177730491.

    Args:
        values: Float32 (N,), NaN where it is missing.
        labels: Float32 (N, K): 1, 0 or NaN.

    Returns:
        Float64 (K,), over the samples that state both; NaN where fewer than `LEAST` of either class do.
    """
    stated = ~np.isnan(values)
    # counting by distinct value takes one sort for all K labels
    unique, rank = np.unique(values[stated], return_inverse=True)
    areas = np.full(labels.shape[1], np.nan)
    for number, label in enumerate(labels[stated].T):
        positives = np.bincount(rank[label == 1], minlength=len(unique))
        negatives = np.bincount(rank[label == 0], minlength=len(unique))
        if min(positives.sum(), negatives.sum()) >= LEAST:
            # pairs in which the positive has the larger value; a tie counts half
            won = (positives * (np.cumsum(negatives) - negatives / 2)).sum()
            areas[number] = won / positives.sum() / negatives.sum()
    return areas


def binary_areas(columns: NDArray[np.float32], labels: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the same for many columns of 0 and 1 at once, where it is the mean of sensitivity and specificity.

    Args:
        columns: Float32 (N, M).
        labels: Float32 (N, K).

    Returns:
        Float64 (M, K).
    """
    present = (labels == 1).astype(np.float32)
    absent = (labels == 0).astype(np.float32)
    num_present = present.sum(axis=0, dtype=np.float64)
    num_absent = absent.sum(axis=0, dtype=np.float64)
    sensitivity = (columns.T @ present) / np.maximum(num_present, 1)  # (M, K)
    false_alarms = (columns.T @ absent) / np.maximum(num_absent, 1)
    enough = np.minimum(num_present, num_absent) >= LEAST
    return np.where(enough, (1 + sensitivity - false_alarms) / 2, np.nan)


def _infinite(name: str, table: Table) -> Iterator[Problem]:
    for column, values in zip(table.numeric_names, table.numeric.T, strict=True):
        count = int(np.isinf(values).sum())
        if count:
            message = f"Expected finite numbers in privileged column '{column}' but {count} are infinite."
            yield Problem("error", "privileged", name, message, count)


def _constant(name: str, table: Table) -> Iterator[Problem]:
    """Yield columns that are constant; an unused category beside others that vary is no problem."""
    varies = {column: _varies(values) for column, values in zip(table.numeric_names, table.numeric.T, strict=True)}
    for category, values in zip(table.categorical_names, table.categorical.T, strict=True):
        column = category.partition("=")[0]
        varies[column] = varies.get(column, False) or _varies(values)
    for column in [column for column, own in varies.items() if not own]:
        message = f"Expected privileged column '{column}' to vary but it is constant or empty."
        yield Problem("warning", "privileged", name, message, len(table.numeric))


def _words_for_missing(name: str, table: Table) -> Iterator[Problem]:
    """Yield categories that look like missing values; they may also be meant, such as None among findings."""
    for category, values in zip(table.categorical_names, table.categorical.T, strict=True):
        column, _, value = category.partition("=")
        if value in WORDS_FOR_MISSING:
            message = (
                f"Expected blank cells where privileged column '{column}' has no value but '{value}' is a category of its own. "
                "Leave the cells blank unless it is meant."
            )
            yield Problem("warning", "privileged", name, message, int(values.sum()))


def _varies(values: NDArray[np.float32]) -> bool:
    known = values[~np.isnan(values)]
    return bool(len(known)) and bool(known.min() < known.max())


def _leaks(name: str, split: Split, label_names: Sequence[str]) -> Iterator[Problem]:
    for what, areas in _areas(split):
        for label, area in zip(label_names, areas.tolist(), strict=True):
            if max(area, 1 - area) >= LEAK:
                area_text = f"{area:.3f}{' (1 when reversed)' if area < 0.5 else ''}"
                message = (
                    f"Expected privileged input that is not the label itself but {what} tells '{label}', with an AUROC of "
                    f"{area_text}. A teacher that reads it passes on little but the label."
                )
                yield Problem("warning", "privileged", name, message)


def _areas(split: Split) -> Iterator[tuple[str, NDArray[np.float64]]]:
    """Yield each piece of privileged information with its area under the ROC curve for each label."""
    # whether a value is missing can leak a label, too
    known = {"whether there is privileged input": split.has_privileged}
    if split.table is not None:
        table = split.table
        for column, values in zip(table.numeric_names, table.numeric.T, strict=True):
            yield f"column '{column}'", rank_areas(values, split.label)
            known[f"whether column '{column}' is stated"] = ~np.isnan(values)
        hot = [f"column '{column}'" for column in table.categorical_names]
        yield from zip(hot, binary_areas(table.categorical, split.label), strict=True)
    flags = np.stack(list(known.values()), axis=1).astype(np.float32)
    yield from zip(known, binary_areas(flags, split.label), strict=True)
