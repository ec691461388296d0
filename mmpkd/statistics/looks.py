"""Interim looks at a study without too many false claims: O'Brien-Fleming boundaries."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from scipy import optimize, stats

from mmpkd.statistics.arrays import Floats

# of Gauss-Legendre quadrature; twice as many change no level by more than 1e-10 of it, even for 26 looks
_NODES = 240


@lru_cache(maxsize=8)
def look_levels(looks: tuple[int, ...], alpha: float = 0.05) -> dict[int, float]:
    """Return the nominal two-sided p-value below which a difference may be claimed at each planned look.

    O'Brien and Fleming (1979, https://doi.org/10.2307/2530245): the boundary is constant on the scale of a Brownian motion whose
    time is the share of the seeds. If there is no difference, the probability of crossing it at any look is `alpha`. That
    probability is integrated numerically (Armitage, McPherson and Rowe 1969).

    Args:
        looks: Increasing numbers of seeds at which the study looks; the last look ends it.
        alpha: Level over all looks.

    Returns:
        Nominal level by number of seeds.

    Raises:
        ValueError: If the looks do not increase.

    Example:
        >>> {seeds: round(level, 4) for seeds, level in look_levels((5, 10)).items()}
        {5: 0.0052, 10: 0.048}
    """
    if not looks or min(looks) < 1 or sorted(set(looks)) != list(looks):
        raise ValueError(f"Expected looks at increasing numbers of seeds but got {list(looks)}.")
    shares = np.asarray(looks) / looks[-1]

    def excess(boundary: float) -> float:
        return _crossing(shares, boundary) - alpha

    # most paths cross 0.5 and none crosses 10, so the root lies between
    boundary = optimize.brentq(excess, 0.5, 10.0, xtol=1e-9)
    # at share t, the z score is the path divided by sqrt(t): early looks are stricter
    levels = 2 * stats.norm.sf(boundary / np.sqrt(shares))
    return dict(zip(looks, levels.tolist(), strict=True))


def _crossing(shares: Floats, boundary: float) -> float:
    """Return the probability that a Brownian motion is beyond ± boundary at any of the times (L,)."""
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    # nodes and weights are for [-1, 1]
    place = nodes * boundary
    weights = weights * boundary
    # density of the paths that have stayed inside the boundary so far, at the nodes
    inside = stats.norm.pdf(place, scale=np.sqrt(shares[0]))
    for step in np.diff(shares):
        # what is added until the next look is independent and normal, so the density is a convolution
        inside = stats.norm.pdf(place[:, None] - place, scale=np.sqrt(step)) @ (weights * inside)
    return float(1 - weights @ inside)


def level_at(looks: Sequence[int], num_seeds: int, alpha: float = 0.05) -> float | None:
    """Return the nominal level of a claim at a number of seeds, or None if the study does not look there.

    Example:
        >>> level_at((5, 10), 7) is None
        True
    """
    return look_levels(tuple(looks), alpha).get(num_seeds)
