"""Array types, and integer codes for names."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]


def as_codes(names: Sequence[str]) -> Codes:
    """Encode N names as integers (N,) from 0, in alphabetical order of the names.

    Example:
        >>> as_codes(["p2", "p1", "p2"]).tolist()
        [1, 0, 1]
    """
    return np.unique(np.asarray(names, dtype=str), return_inverse=True)[1].astype(np.int64)
