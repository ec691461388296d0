"""Simulated studies: patients with regions, arms with runs, and a score that follows how clearly a run sees a region."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from mmpkd.statistics.arrays import Codes, Floats

Sizes = Literal["even", "heavy"]
Score = Literal["iou", "pointing", "rare"]
NUM_FINDINGS = 5
# share of each finding among regions, and how much easier than average it is to see
_FREQUENCY = np.array([0.4, 0.25, 0.18, 0.11, 0.06])
_EASE = np.array([0.2, -0.3, 0.0, -0.5, 0.4])
_LEANING = np.array([0.6, -0.2, -0.4, 0.3, -0.3])  # sums to 0, so that findings differ but their mean does not change
# lowers the clarity of a collapsed run so far that it sees hardly any region
_COLLAPSE = 4.0
# runs that do not localize score below this, all other runs above
FLOOR = 0.02


@dataclass(frozen=True)
class World:
    """A kind of study. Effects and standard deviations are in units of the standard deviation of clarity between patients.

    Attributes:
        seeds: Number of runs S of each arm.
        patients: Number of patients P.
        effects: Effect of each arm; the first arm is the reference.
        sizes: Number of regions of a patient: 1 to 10, or up to 60 for a few patients (a lognormal distribution).
        score: IoU with exact zeros, hits of a pointing game, or IoU where nine of ten regions are missed.
        run_sd: Standard deviation between runs.
        informative: Increase of the effect with the logarithm of a patient's number of regions.
        finding_sd: Scale of the differences in difficulty between findings.
        finding_effect: Scale of the differences in the effect between findings.
        run_by_finding_sd: Standard deviation of the interaction of run and finding.
        collapse: Share of the runs of each arm that do not localize at all.
    """

    seeds: int = 5
    patients: int = 200
    effects: tuple[float, ...] = (0.0, 0.0)
    sizes: Sizes = "even"
    score: Score = "iou"
    run_sd: float = 0.25
    informative: float = 0.0
    finding_sd: float = 0.0
    finding_effect: float = 0.0
    run_by_finding_sd: float = 0.0
    collapse: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True)
class Tables:
    """T simulated tables, concatenated.

    Attributes:
        scores: (A, S, N) score of each arm and run in each region of all tables.
        clarity: (A, S, N) how clearly each run sees each region.
        patient: (N,) patient of each region, numbered across all tables.
        finding: (N,) finding of each region.
        num: Number of tables T.
    """

    scores: Floats
    clarity: Floats
    patient: Codes
    finding: Codes
    num: int


def draw(world: World, num: int, rng: np.random.Generator, runs_by_patient: bool = False) -> Tables:
    """Draw random tables.

    Args:
        world: Kind of study.
        num: Number of tables.
        rng: Random number generator.
        runs_by_patient: Whether each patient has its own runs. The true effect, which is a mean over all runs, is computed so.
    """
    size = _sizes(world, num, rng)
    patient = np.repeat(np.arange(num * world.patients), size)
    finding = rng.choice(NUM_FINDINGS, len(patient), p=_FREQUENCY)
    arms = len(world.effects)
    own = rng.normal(0, 1, len(size))[patient] + rng.normal(0, 0.5, len(patient))
    own = own + world.finding_sd * _EASE[finding]
    gain = world.informative * (np.log(size) - 0.5) + rng.normal(0, 0.3, len(size))
    clarity = np.broadcast_to(own, (arms, world.seeds, len(patient))).copy()
    run = patient if runs_by_patient else patient // world.patients
    num_runs = int(run[-1]) + 1
    for arm, effect in enumerate(world.effects):
        clarity[arm] += (effect + rng.normal(0, 0.4, len(size)))[patient]
        # give each arm half of a patient's own effect, so that arms without an effect have the same distribution
        side = 0.5 if arm > 0 else -0.5
        clarity[arm] += side * (gain[patient] + world.finding_effect * _LEANING[finding])
        deviation = rng.normal(0, world.run_sd, (world.seeds, num_runs))
        share = world.collapse[min(arm, 1)]
        deviation -= _COLLAPSE * (rng.random((world.seeds, num_runs)) < share)
        clarity[arm] += deviation[:, run]
        of_finding = rng.normal(0, world.run_by_finding_sd, (world.seeds, num_runs * NUM_FINDINGS))
        clarity[arm] += of_finding[:, run * NUM_FINDINGS + finding]
        clarity[arm] += rng.normal(0, 0.4, (world.seeds, len(size)))[:, patient]
        clarity[arm] += rng.logistic(0, 0.35, (world.seeds, len(patient)))
    return Tables(_score(world.score, clarity, rng), clarity, patient, finding, num)


def _sizes(world: World, num: int, rng: np.random.Generator) -> Codes:
    """Return the number of regions (T P,) of each patient."""
    total = num * world.patients
    if world.sizes == "even":
        return 1 + rng.binomial(9, 0.15, total)
    return np.minimum(np.ceil(rng.lognormal(0.0, 1.3, total)), 60).astype(np.int64)


def _score(kind: Score, clarity: Floats, rng: np.random.Generator) -> Floats:
    if kind == "pointing":
        return (clarity > 0.3).astype(np.float64)
    threshold = 0.2 if kind == "iou" else 2.0
    depth = np.tanh(0.5 * (clarity - threshold)) * rng.uniform(0.5, 1.0, clarity.shape)
    return np.asarray(np.maximum(depth, 0.0))
