"""Translation of the finding names of one data set into the labels of another."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Vocabulary:
    """The published names of a data set's findings, by the student's labels.

    A label that no name states is outside the vocabulary: the data set does not annotate it.

    Attributes:
        stated: The names that state a label, by label. A name may state several.
        unresolved: The names that leave a label open, by label.
        others: The names that say nothing about any label.
    """

    stated: Mapping[str, Sequence[str]]
    unresolved: Mapping[str, Sequence[str]] = field(default_factory=dict)
    others: Sequence[str] = ()

    @property
    def labels(self) -> tuple[str, ...]:
        """The M labels that the data set annotates."""
        return tuple(self.stated)

    @cached_property
    def names(self) -> frozenset[str]:
        """All published names."""
        groups = (*self.stated.values(), *self.unresolved.values(), self.others)
        return frozenset(name for group in groups for name in group)

    @cached_property
    def _labels_by_name(self) -> Mapping[str, tuple[str, ...]]:
        found: dict[str, tuple[str, ...]] = {}
        for label, names in self.stated.items():
            for name in names:
                found[name] = (*found.get(name, ()), label)
        return found

    def labels_of(self, name: str) -> tuple[str, ...]:
        """Return the labels that a name states; none for a name without a label, and for an unknown one."""
        return self._labels_by_name.get(name, ())

    def read(self, found: Sequence[Collection[str]]) -> NDArray[np.float32]:
        """Read the labels of images.

        Args:
            found: The names that the data set gives to each of N images.

        Returns:
            Float32 (N, M): 1 where a name states the label, NaN where one may mean it and none states it, else 0.
        """
        values = np.zeros((len(found), len(self.labels)), dtype=np.float32)
        for column, label in enumerate(self.labels):
            present = set(self.stated[label])
            possible = set(self.unresolved.get(label, ()))
            for row, names in enumerate(found):
                if not present.isdisjoint(names):
                    values[row, column] = 1
                elif not possible.isdisjoint(names):
                    values[row, column] = np.nan
        return values
