"""Resampling of patients; all rows of a patient stay together."""

from functools import lru_cache

import numpy as np

from mmpkd.statistics.arrays import Floats


@lru_cache(maxsize=1)
def resampled_weights(num: int, num_replicates: int, seed: int) -> Floats:
    """Return how often each unit is drawn in each of R bootstrap replicates, (R, num), read-only.

    Each replicate draws `num` of `num` units with replacement.

    Example:
        >>> resampled_weights(4, 2, 0).sum(axis=1).tolist()
        [4.0, 4.0]
    """
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(num, np.full(num, 1.0 / num), size=num_replicates).astype(np.float64)
    # the cache hands out the same array to every caller
    weights.flags.writeable = False
    return weights
