"""The interface of a form of privileged information."""

from abc import ABC, abstractmethod
from collections.abc import Mapping

from data_modules.split import Split


class PrivilegedForm(ABC):
    """Converts the privileged information of a data set, to separate the effect of its form from that of the domain."""

    @abstractmethod
    def __call__(self, splits: Mapping[str, Split]) -> dict[str, Split]:
        """Return the splits in the new form; anything that is fitted is fitted on the training split.

        Raises:
            ValueError: If the splits lack the information that the form is made from.
        """
