"""Intervals of a mean over crossed runs and patients.

Runs and patients are crossed: all runs see the same patients. Each of the two factors has an interval with its own Student
quantile, and their half-widths are added in quadrature (Howe 1974; Zou and Donner 2008, https://doi.org/10.1002/sim.3095). The
interaction of run and patient is part of both variances, and so is subtracted once. The interval is never narrower than the one
over runs alone, so that a few runs that agree by chance do not look too certain. Variances over patients are jackknife
variances, with the degrees of freedom of Bell and McCaffrey (2002, Survey Methodology 28(2)). Where patients are skewed, the end
towards the tail is moved outwards (Hall 1992, JRSS B 54, https://doi.org/10.1111/j.2517-6161.1992.tb01872.x): with few hits, a
low estimate comes with a small variance, and the plain interval lies too low. docs/statistics.md shows the coverage in
simulations.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import special

from mmpkd.statistics.arrays import Floats
from mmpkd.statistics.estimands import RunMeans

# the smallest probability that `tail` tells from 0; also avoids a division by 0 if one patient has all the weight
_SMALLEST = 1e-12
# log(alpha) ranges over 27: halved so often, alpha is right to 1e-12 of its value
_STEPS = 45


@dataclass(frozen=True)
class Spread:
    """Variance components of a mean over runs. Each value has a shape (...,), with one entry per table.

    Attributes:
        num_seeds: Number of runs S.
        seeds: Variance between runs, divided by S; 0 for one run.
        patients: Jackknife variance, over patients, of the mean over runs.
        noise: Variance of the interaction of run and patient, which is part of both; 0 for one run.
        df: Degrees of freedom of `patients`.
        skewness: Skewness of the mean over patients.
    """

    num_seeds: int
    seeds: Floats
    patients: Floats
    noise: Floats
    df: Floats
    skewness: Floats

    @property
    def variance(self) -> Floats:
        """Variance of the mean: seeds + patients - noise, and at least `seeds`."""
        return np.maximum(self.seeds + self.patients - self.noise, self.seeds)

    def scaled(self, weight: float) -> "Spread":
        """Return the spread of the mean multiplied by `weight`."""
        square = weight**2
        return replace(
            self,
            seeds=self.seeds * square,
            patients=self.patients * square,
            noise=self.noise * square,
            skewness=self.skewness * np.sign(weight),  # has no unit, so only the sign of a factor matters
        )


def spread_of(runs: RunMeans) -> Spread:
    """Return the variance components of the mean over runs.

    Example:
        >>> values = np.array([[1.0, 2.0, 3.0], [2.0, 4.0, 6.0]])  # two runs, three patients
        >>> without = (values.sum(1, keepdims=True) - values) / 2
        >>> spread = spread_of(RunMeans(values.mean(1), without, np.full(3, 1 / 3)))
        >>> float(spread.seeds), float(spread.patients), float(spread.df)
        (1.0, 0.75, 2.0)
    """
    num_seeds, num_patients = runs.without.shape[-2:]
    # deviations from the average of all patients, not from the mean of the averages without one
    influence = runs.without - runs.values[..., None]  # (..., S, P)
    mean = influence.mean(axis=-2)  # (..., P)
    scale = (num_patients - 1) / num_patients
    patients = scale * np.square(mean).sum(axis=-1)
    seeds = np.zeros_like(patients)
    noise = np.zeros_like(patients)
    if num_seeds > 1:
        seeds = runs.values.var(axis=-1, ddof=1) / num_seeds
        # the part of the influence that differs between runs is the interaction of run and patient
        rest = np.square(influence - mean[..., None, :]).sum(axis=(-2, -1))
        noise = scale * rest / (num_seeds * (num_seeds - 1))
    return Spread(num_seeds, seeds, patients, noise, patients_df(runs.weights), _skewness(mean, patients))


def _skewness(influence: Floats, variance: Floats) -> Floats:
    """Return the skewness of a mean from the influence (..., P) of each patient on it; 0 for fewer than three patients."""
    num = influence.shape[-1]
    if num < 3:
        return np.zeros_like(variance)
    # -(P - 1) / P turns the influence into (x - mean) / P; the factors after it make the third moment unbiased
    third = np.power(influence * (-(num - 1) / num), 3).sum(axis=-1) * num**2 / ((num - 1) * (num - 2))
    return np.asarray(np.where(variance > 0, third / np.power(np.where(variance > 0, variance, 1.0), 1.5), 0.0))


def patients_df(weights: Floats) -> Floats:
    """Return the degrees of freedom, at least 1, of the jackknife variance V of a weighted mean over patients.

    Bell and McCaffrey (2002): 2 E(V)^2 / Var(V), for independent normal patients of equal variance. Equal weights give P - 1.

    Args:
        weights: (..., P) share of each patient; the shares sum to 1.

    Example:
        >>> float(patients_df(np.full(10, 0.1)))
        9.0
        >>> float(patients_df(np.array([0.7, 0.1, 0.1, 0.1])))
        1.074
    """
    # V is a quadratic form in the residuals x - mean: diagonal b, apart from a factor that cancels below
    b = np.square(weights / np.maximum(1 - weights, _SMALLEST))
    both = (weights * b).sum(axis=-1)
    total = b.sum(axis=-1)
    squares = np.square(weights).sum(axis=-1)
    of_b = np.square(b).sum(axis=-1)
    # for patients of variance 1, E(V) is the trace of the form's matrix, and Var(V) twice that of its square
    trace = total - 2 * both + total * squares
    trace_of_square = (
        of_b
        + 2 * both**2
        + 2 * of_b * squares
        + total**2 * squares**2
        - 4 * (np.square(b) * weights).sum(axis=-1)
        + 2 * total * (b * np.square(weights)).sum(axis=-1)
        - 4 * total * both * squares
    )
    return np.asarray(np.maximum(np.square(trace) / trace_of_square, 1.0))


def reach(parts: Sequence[Spread], alpha: Floats | float) -> tuple[Floats, Floats]:
    """Return how far an interval reaches below and above an estimate.

    Args:
        parts: Spreads of the independent estimates that are added; their half-widths are added in quadrature.
        alpha: Probability in (0, .5] that the true value lies beyond each end.

    Example:
        >>> spread = Spread(5, *map(np.asarray, (0.04, 0.02, 0.01, 99.0, 0.0)))
        >>> float(reach([spread], 0.025)[0])  # sqrt(2.776^2 * (0.04 - 0.01) + 1.984^2 * 0.02)
        0.5568
    """
    ends = [_reach_of(part, alpha) for part in parts]
    below = sum((np.square(own) for own, _ in ends), np.float64(0.0))
    above = sum((np.square(own) for _, own in ends), np.float64(0.0))
    return np.sqrt(below), np.sqrt(above)


def _reach_of(spread: Spread, alpha: Floats | float) -> tuple[Floats, Floats]:
    """Return the reach of one estimate; see `reach`."""
    # the lower quantile, mirrored: 1 - alpha would be rounded where `tail` tries a tiny alpha
    over_patients = -special.stdtrit(spread.df, alpha)
    error = np.sqrt(spread.patients)
    # only outwards: the other end may be right to lie closer, but a skewness from a few patients is no proof of that
    low = error * np.maximum(over_patients, _unskewed(over_patients, spread.skewness))
    high = error * np.maximum(over_patients, -_unskewed(-over_patients, spread.skewness))
    if spread.num_seeds == 1:
        return low, high
    over_seeds = np.square(special.stdtrit(spread.num_seeds - 1, alpha))
    # the noise is counted with the patients already
    net = over_seeds * np.maximum(spread.seeds - spread.noise, 0.0)
    floor = over_seeds * spread.seeds
    return np.sqrt(np.maximum(net + low**2, floor)), np.sqrt(np.maximum(net + high**2, floor))


def _unskewed(quantile: Floats, skewness: Floats) -> Floats:
    """Return the quantile of a skewed mean, by the inverse of Hall's transformation."""
    is_straight = np.abs(skewness) < 1e-6
    g = np.where(is_straight, 1.0, skewness)
    # without skewness the limit, which the formula could reach only by a division by 0
    return np.where(is_straight, quantile, 3 / g * (np.cbrt(1 + g * (quantile - g / 6)) - 1))


def tail(parts: Sequence[Spread], distance: Floats) -> tuple[Floats, Floats]:
    """Return the `alpha` at which the interval reaches as far as `distance` below and above the estimate, the inverse of `reach`.

    Args:
        parts: As in `reach`.
        distance: (...,) >= 0.

    Returns:
        Both probabilities, (...,) in (0, .5].

    Example:
        >>> spread = Spread(5, *map(np.asarray, (0.04, 0.02, 0.01, 99.0, 0.0)))
        >>> float(tail([spread], np.asarray(0.5568))[0])  # see the example of `reach`
        0.025
    """
    return _bisected(parts, distance, 0), _bisected(parts, distance, 1)


def _bisected(parts: Sequence[Spread], distance: Floats, side: int) -> Floats:
    """Return `alpha` of one end by bisection of its logarithm: the reach shrinks as `alpha` grows."""
    shape = np.broadcast_shapes(np.shape(distance), np.shape(parts[0].seeds))
    low = np.full(shape, np.log(_SMALLEST))
    high = np.full(shape, np.log(0.5))
    for _ in range(_STEPS):
        middle = (low + high) / 2
        is_beyond = distance > reach(parts, np.exp(middle))[side]
        low = np.where(is_beyond, low, middle)
        high = np.where(is_beyond, middle, high)
    return np.asarray(np.exp(high))
