"""The table of predictions of a run: one row per sample, with `sample_id`, `patient_id` and two columns per label."""


def target_column(label: str) -> str:
    """Return the name of the column with a label's target: 1, 0, or NaN if unknown."""
    return f"target/{label}"


def probability_column(label: str) -> str:
    """Return the column of a label's predicted probability."""
    return f"probability/{label}"


def threshold_column(label: str) -> str:
    """Return the column that says whether a probability reaches the threshold of its label."""
    return f"above_threshold/{label}"
