"""Check that labels can be learned and scored."""

from collections.abc import Iterator, Sequence

import numpy as np

from data_modules.checks.report import Problem, Severity
from data_modules.labels import stated_values
from data_modules.split import Split


def check_labels(name: str, split: Split, label_names: Sequence[str], severity: Severity) -> Iterator[Problem]:
    """Yield labels that do not have both values.

    Args:
        name: Name of the split.
        split: The split.
        label_names: The K labels.
        severity: How serious that is.
    """
    for label, column in zip(label_names, split.label.T, strict=True):
        values = stated_values(column)
        count = int((~np.isnan(column)).sum())
        if not values:
            yield Problem(severity, "labels", name, f"Expected values of '{label}' but none is stated.", len(column))
        elif len(values) == 1:
            message = f"Expected both values of '{label}' but all {count} stated ones are {values[0]:g}."
            yield Problem(severity, "labels", name, message, count)
