"""Names of labels, and labels that have only one value."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def metric_name(label: str) -> str:
    """Return a label as it stands in the names of logged values: in lower case, with underscores for spaces."""
    return label.lower().replace(" ", "_")


def check_label_names(label_names: Sequence[str], setting: str = "data.label_names") -> None:
    """Check that every label has a name of its own, also in the names of logged values.

    Args:
        label_names: The names.
        setting: Where they are set, for the message.

    Raises:
        ValueError: If there is no label, a name is blank, or two are equal or differ only in case, spaces and underscores.
    """
    if not label_names:
        raise ValueError(f"Expected at least one label in {setting} but got none.")
    first: dict[str, str] = {}
    for name in label_names:
        key = metric_name(name)
        if not key.strip("_"):
            raise ValueError(f"Expected names of labels in {setting} but one of {list(label_names)} is blank.")
        if key in first:
            raise ValueError(
                f"Expected names in {setting} that differ in more than case, spaces and underscores but got '{first[key]}' and "
                f"'{name}', whose scores would have one name. Rename one of them, or leave it out."
            )
        first[key] = name


def stated_values(column: NDArray[np.float32]) -> list[float]:
    """Return the different values of a label (N,) that are stated, in ascending order."""
    values: list[float] = np.unique(column[~np.isnan(column)]).tolist()
    return values


def without_both_values(label: NDArray[np.float32], label_names: Sequence[str]) -> dict[str, str]:
    """Return the labels that cannot be learned or scored, since they are never stated or always the same.

    Args:
        label: Float32 (N, K): 1, 0, or NaN for not stated.
        label_names: K names.

    Returns:
        `not stated`, `always 0` or `always 1` by label.
    """
    found = {}
    for name, column in zip(label_names, label.T, strict=True):
        values = stated_values(column)
        if len(values) < 2:
            found[name] = f"always {values[0]:g}" if values else "not stated"
    return found
