"""What a form of privileged information is."""

from abc import ABC, abstractmethod
from collections.abc import Mapping

from data_modules.split import Split


class PrivilegedForm(ABC):
    """Gives the privileged information of a data set another form, so that form and domain can be told apart."""

    @abstractmethod
    def __call__(self, splits: Mapping[str, Split]) -> dict[str, Split]:
        """Return the splits in the new form; whatever is learned, is learned from the training split.

        Raises:
            ValueError: If the splits do not have what the form is made from.
        """
