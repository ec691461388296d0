"""Tables of differences between two arms, with 1 to 4 regions a patient."""

import numpy as np

from mmpkd.statistics.arrays import Floats
from mmpkd.statistics.estimands import Regions


def drawn(
    seeds: int, patients: int, effect: float = 0.0, seed_sd: float = 0.02, seed: int = 0
) -> tuple[Floats, Regions]:
    """Return differences (S, N) and whose they are; patients deviate in all runs alike, and findings are drawn at random."""
    rng = np.random.default_rng(seed)
    patient = np.repeat(np.arange(patients), rng.integers(1, 5, patients))
    finding = rng.integers(0, 3, len(patient))
    shared = rng.normal(0, 0.1, patients)[patient]
    noise = rng.normal(0, 0.05, (seeds, len(patient)))
    return effect + rng.normal(0, seed_sd, (seeds, 1)) + shared + noise, Regions(patient, finding)
