"""Types of arrays, and codes for names."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]


def as_codes(names: Sequence[str]) -> Codes:
    """Return (N,) integers from 0 for N names, equal where the names are; in alphabetical order.

    Example:
        >>> as_codes(["p2", "p1", "p2"]).tolist()
        [1, 0, 1]
    """
    return np.unique(np.asarray(names, dtype=str), return_inverse=True)[1].astype(np.int64)
