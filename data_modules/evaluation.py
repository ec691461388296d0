"""Data sets that a trained student is evaluated on, and that nothing is trained on."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar, NoReturn

import numpy as np
from numpy.typing import NDArray

from data_modules.base import PrivilegedDataModule
from data_modules.split import Split


class EvaluationDataModule(PrivilegedDataModule):
    """A test split only: `mmpkd test` with a checkpoint of a student that was trained on another data set.

    The labels are the student's, in its order: set `label_names` to those it was trained with. What the data set does
    not annotate is NaN and takes no part in any score. A subclass implements `read_test`.
    """

    expected_splits: ClassVar[tuple[str, ...]] = ("test",)

    @abstractmethod
    def read_test(self) -> Split:
        """Read the samples; images are not opened."""

    def read_splits(self) -> Mapping[str, Split]:
        """Return the split `test`."""
        return {"test": self.read_test()}

    def train_dataloader(self) -> NoReturn:
        """Refuse to train.

        Raises:
            TypeError: Always.
        """
        raise TypeError(
            f"Expected a data set to train on but {type(self).__name__} is for evaluation only: run `mmpkd test` with a "
            "checkpoint."
        )


def project_labels(
    labels: NDArray[np.float32], names: Sequence[str], label_names: Sequence[str]
) -> NDArray[np.float32]:
    """Bring the labels of one data set into the order of another.

    Args:
        labels: Float32 (N, M): 1, 0 or NaN.
        names: M names, in the vocabulary of the student's labels.
        label_names: The student's K labels.

    Returns:
        Float32 (N, K), NaN in columns that the data set does not annotate.

    Raises:
        ValueError: If no label is shared: nothing could be evaluated.
    """
    if not set(names) & set(label_names):
        raise ValueError(
            f"Expected label_names to share a finding with this data set but it annotates {sorted(names)} and got "
            f"{list(label_names)}."
        )
    projected = np.full((len(labels), len(label_names)), np.nan, dtype=np.float32)
    for column, name in enumerate(label_names):
        if name in names:
            projected[:, column] = labels[:, list(names).index(name)]
    return projected
