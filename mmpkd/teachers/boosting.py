"""Gradient boosting on privileged columns, as a teacher in the form of stored targets."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier

from data_modules.base import PrivilegedDataModule
from data_modules.split import Split, patient_folds
from mmpkd.teachers.targets import TargetsMeta, TeacherTargets

# probabilities are clipped to [LIMIT, 1 - LIMIT]: a constant label has probability 0 or 1, whose logit is infinite
LIMIT = 1e-4


@dataclass(frozen=True)
class Boosted:
    """The outputs of a boosted teacher.

    Attributes:
        targets: Out-of-fold logits of the training split, without features.
        validation: Logits (N, K) of the validation split, from trees fitted to the whole training split.
    """

    targets: TeacherTargets
    validation: NDArray[np.float32]


def boosted_targets(datamodule: PrivilegedDataModule, num_folds: int, seed: int = 0) -> Boosted:
    """Fit gradient-boosted trees for each label, and predict each training sample with trees that did not see its patient.

    Trees handle missing numbers themselves. If a label is constant in the training folds, its frequency is predicted.

    Args:
        datamodule: Data with a table.
        num_folds: Number of patient folds, >= 2.
        seed: Seed of the trees.

    Raises:
        ValueError: If the training split has no table.
    """
    train = datamodule.splits["train"]
    val = datamodule.splits["val"]
    x = _columns(train)  # (N, F)
    x_val = _columns(val)
    folds = patient_folds(train.patient_id, num_folds)  # (N,), the fold of each sample
    num_labels = train.label.shape[1]
    logits = np.zeros((len(train), num_labels), np.float32)
    validation = np.zeros((len(val), num_labels), np.float32)
    for label in range(num_labels):
        y = train.label[:, label]
        usable = ~np.isnan(y) & train.has_privileged  # (N,)
        for fold in range(num_folds):
            held_out = folds == fold
            logits[held_out, label] = _fit_predict(x[usable & ~held_out], y[usable & ~held_out], x[held_out], seed)
        validation[:, label] = _fit_predict(x[usable], y[usable], x_val, seed)
    meta = TargetsMeta(
        list(datamodule.label_names),
        train.fingerprint(),
        num_folds=num_folds,
        source="mmpkd: sklearn.ensemble.HistGradientBoostingClassifier",
    )
    # trees have no feature vector
    features = np.zeros((len(train), 0), np.float16)
    targets = TeacherTargets(logits[None], features, train.has_privileged, train.sample_id, meta, train.row_hashes)
    return Boosted(targets, validation)


def _columns(split: Split) -> NDArray[np.float32]:
    if split.table is None:
        raise ValueError(
            "Expected tabular columns for gradient boosting but the data have none. Check the data module."
        )
    return np.concatenate([split.table.numeric, split.table.categorical], axis=1)


def _fit_predict(
    x: NDArray[np.float32], y: NDArray[np.float32], x_new: NDArray[np.float32], seed: int
) -> NDArray[np.float32]:
    if len(np.unique(y)) < 2:
        probability = np.full(len(x_new), y.mean() if len(y) else 0.5)
    else:
        model = HistGradientBoostingClassifier(learning_rate=0.05, max_iter=100, max_leaf_nodes=15, random_state=seed)
        probability = model.fit(x, y).predict_proba(x_new)[:, 1]
    probability = np.clip(probability, LIMIT, 1 - LIMIT)
    return np.asarray(np.log(probability / (1 - probability)), dtype=np.float32)
