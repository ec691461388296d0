"""Differences that a study can show, and that a next study could, from the variances of finished runs.

A variance estimated from few runs is more often too small than too large. Plans therefore use upper 80 % limits of the variances
(Browne 1995, Statistics in Medicine 14, https://doi.org/10.1002/sim.4780141709); about one plan in five is still too small,
and one in three where hits are rare, since the limits are those of normal values.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy import stats

from mmpkd.statistics.effects import Effect
from mmpkd.statistics.spread import Spread, reach

UPPER = 0.8
POWER = 0.8
MIN_PILOT_SEEDS = 3


def detectable_difference(parts: Sequence[Spread], power: float = POWER, alpha: float = 0.05) -> float:
    """Return the true difference that a study of this spread shows with a given power.

    It is how far the interval reaches plus z(power) standard errors. Where patients are skewed, it reaches farther on one side.
    The farther end counts, because nobody knows the sign of a difference before the study.

    Args:
        parts: Spreads of the independent estimates that are added; a comparison has one.
        power: Probability that the difference is shown.
        alpha: Level of the two-sided test.

    Example:
        >>> spread = Spread(10**6, *map(np.asarray, (0.01, 0.0, 0.0, 1e6, 0.0)))
        >>> detectable_difference([spread])  # 0.1 (1.960 + 0.842)
        0.2802
    """
    farther = max(float(end) for end in reach(parts, alpha / 2))
    variance = sum(float(part.variance) for part in parts)
    return float(farther + stats.norm.ppf(power) * np.sqrt(variance))


def planned_spread(pilot: Spread, num_seeds: int, patients: float = 1.0, limit: float | None = UPPER) -> Spread:
    """Return the expected spread of a study of another size, from the spread of a pilot.

    Args:
        pilot: Spread of the pilot, of at least three runs.
        num_seeds: Number of runs of each arm in the study.
        patients: Number of patients in the study, as a multiple of the pilot's.
        limit: Level of the upper limits of the variances between runs and between patients; None takes the estimates.

    Raises:
        ValueError: If the pilot has fewer than three runs, or the study fewer than two.

    Example:
        >>> pilot = Spread(5, *map(np.asarray, (0.04, 0.02, 0.01, 99.0, 0.0)))
        >>> study = planned_spread(pilot, 10, patients=2, limit=None)
        >>> float(study.seeds), float(study.patients), float(study.noise)
        (0.0175, 0.0075, 0.0025)
    """
    if pilot.num_seeds < MIN_PILOT_SEEDS or num_seeds < 2:
        raise ValueError(
            f"Expected a pilot of at least {MIN_PILOT_SEEDS} seeds and a study of at least 2 but got {pilot.num_seeds} and "
            f"{num_seeds}: two runs say too little about how much runs differ."
        )
    fewer_runs = pilot.num_seeds / num_seeds
    noise = pilot.noise * fewer_runs / patients
    seeds = pilot.seeds * _raised(pilot.num_seeds - 1, limit)
    # without the interaction, which more runs reduce as well
    own = np.maximum(pilot.patients - pilot.noise, 0.0) * _raised(float(pilot.df), limit) / patients
    # more patients reduce only that part of the variance between runs that comes from the interaction with patients
    between = np.maximum((seeds - pilot.noise) * fewer_runs + noise, 0.0)
    return replace(
        pilot,
        num_seeds=num_seeds,
        seeds=between,
        patients=own + noise,
        noise=noise,
        # with equal weights, `df` is P - 1: it grows with the number of patients
        df=pilot.df * patients,
        # the skewness of a mean over P independent patients falls with the root of P
        skewness=pilot.skewness / np.sqrt(patients),
    )


def minimum_detectable_effect(effect: Effect) -> float:
    """Return the true difference that a study like this one shows with a power of at least 80 %, in about four of five studies.

    Args:
        effect: Effect of the study; only its spread is used, not its estimate.

    Returns:
        Difference > 0; NaN if there is no interval or there are fewer than three runs.

    Example:
        >>> spread = Spread(5, *map(np.asarray, (0.04, 0.02, 0.01, 99.0, 0.0)))
        >>> minimum_detectable_effect(Effect(0.0, (spread,))) > detectable_difference([spread])
        True
    """
    if effect.num_seeds < MIN_PILOT_SEEDS:
        return float("nan")
    return detectable_difference([planned_spread(part, part.num_seeds) for part in effect.parts])


def _raised(df: float, limit: float | None) -> float:
    """Return the ratio of the upper limit of a variance to its estimate."""
    # df times the ratio of estimate to variance is chi-squared, for normal values
    return 1.0 if limit is None else float(df / stats.chi2.ppf(1 - limit, df))
