"""The column of a table that says which split a sample belongs to."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data_modules.columns import rows_in_words


@dataclass(frozen=True)
class SplitColumn:
    """The column that assigns rows to training, validation and test.

    Attributes:
        column: Column with the split.
        train: Its value for training.
        val: Its value for validation.
        test: Its value for test.

    Raises:
        ValueError: If two splits have the same value.
    """

    column: str = "split"
    train: str = "train"
    val: str = "val"
    test: str = "test"

    def __post_init__(self) -> None:
        # equal values share a key
        if len(self._name_of) < 3:
            raise ValueError(
                "Expected a different value of each split in data.split.train, data.split.val and data.split.test but got "
                f"{[self.train, self.val, self.test]}."
            )

    @property
    def _name_of(self) -> Mapping[str, str]:
        return {self.train: "train", self.val: "val", self.test: "test"}

    def names(self, samples: pd.DataFrame, file: str) -> NDArray[np.object_]:
        """Return `train`, `val` or `test` for each of N samples.

        Args:
            samples: N rows of cells, of which none is blank in this column.
            file: Name of the table, for messages.

        Raises:
            ValueError: If a cell holds none of the three values.
        """
        values = samples[self.column]
        unknown = ~values.isin(list(self._name_of)).to_numpy(dtype=np.bool_)
        if unknown.any():
            raise ValueError(
                f"Expected the splits {sorted(self._name_of)} in column '{self.column}' of '{file}' but found "
                f"{sorted(set(values[unknown]))} ({rows_in_words(values, unknown)}). Set data.split.train, data.split.val and "
                "data.split.test."
            )
        return values.map(self._name_of).to_numpy(dtype=object)
