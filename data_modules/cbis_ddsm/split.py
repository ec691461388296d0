"""Training, validation and test subsets of CBIS-DDSM without shared patients."""

from itertools import product

import numpy as np
import pandas as pd


def assign_subsets(frame: pd.DataFrame, val_fraction: float, seed: int) -> tuple[pd.DataFrame, int]:
    """Assign every abnormality to `train`, `val` or `test`.

    The official split is made separately for masses and calcifications: 31 patients are in the training set of one and the
    test set of the other. If both are read, these patients are dropped from training. There is no official
    validation set: it is drawn from the training patients, with the same share of patients by malignancy and by kind of
    lesion. It depends only on the patients and their lesions, so it is the same for samples by image and by abnormality.

    Args:
        frame: Rows as from `read_tables`.
        val_fraction: Share of the training patients, in (0, 1).
        seed: Seed of the draw.

    Returns:
        The rows that remain, with `subset` being `train`, `val` or `test`, and how many patients were dropped.

    Raises:
        ValueError: If `val_fraction` is outside (0, 1).
    """
    if not 0 < val_fraction < 1:
        raise ValueError(f"Expected val_fraction to be in (0, 1) but got {val_fraction}.")
    train = frame["subset"] == "train"
    test_patients = frame.loc[~train, "patient_id"]
    leaked = train & frame["patient_id"].isin(test_patients)
    num_leaked = frame.loc[leaked, "patient_id"].nunique()
    frame = frame[~leaked].reset_index(drop=True)
    train = frame["subset"] == "train"
    val = train & frame["patient_id"].isin(_draw_patients(frame[train], val_fraction, seed))
    return frame.assign(subset=frame["subset"].mask(val, "val")), num_leaked


def _draw_patients(train: pd.DataFrame, fraction: float, seed: int) -> list[str]:
    malignant = (train["pathology"] == "MALIGNANT").groupby(train["patient_id"]).any()
    kinds = train.groupby("patient_id")["kind"].agg(lambda values: "+".join(sorted(set(values))))
    generator = np.random.default_rng(seed)
    drawn: list[str] = []
    for value, kind in product((True, False), sorted(set(kinds))):
        own = malignant.index[(malignant == value) & (kinds == kind)]
        # sorted, so that the draw does not depend on the order of the files
        patients = np.sort(own.to_numpy(dtype=np.str_))
        drawn += generator.permutation(patients)[: round(fraction * len(patients))].tolist()
    return drawn
