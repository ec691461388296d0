"""Simulations of the difference at equal recognition, with an arm that only recognises more."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from mmpkd.statistics.arrays import Floats
from mmpkd.statistics.effects import effect_of
from mmpkd.statistics.estimands import Regions, run_means
from mmpkd.statistics.recognition import Arms, at_equal_recognition, standardised
from mmpkd.statistics.simulation.worlds import Tables, World, draw

GAIN = 0.6
# shares of the unadjusted difference that a claim has to exceed; studies use GUARD
GUARDS = (0.0, 0.05, 0.1, 0.15)
_NEGATIVES = 400


@dataclass(frozen=True)
class Confidence:
    """The relation of a run's confidence to how clearly it sees a region.

    Attributes:
        noise: Standard deviation of the noise of a run on a region, in units of clarity.
        shared: Share of the noise that all runs have in common.
        slope: Factor of the arm's logits.
        shift: Offset of the arm's logits.
    """

    noise: float = 0.7
    shared: float = 0.0
    slope: float = 1.0
    shift: float = 0.0


@dataclass(frozen=True)
class Case:
    """A world, its confidence, and the effect of the arm beyond recognition in units of the score."""

    world: World
    confidence: Confidence = Confidence()
    direct: float = 0.0


_MORE = (0.0, GAIN)
CASES = {
    "nothing": Case(World()),
    "recognition only": Case(World(effects=_MORE)),
    "recognition only, pointing game": Case(World(effects=_MORE, score="pointing")),
    "recognition only, 60 patients": Case(World(effects=_MORE, patients=60)),
    "recognition only, 3 seeds": Case(World(effects=_MORE, seeds=3)),
    "recognition only, twice the noise": Case(World(effects=_MORE), Confidence(noise=1.4)),
    "recognition only, exact confidence": Case(World(effects=_MORE), Confidence(noise=0.0)),
    "recognition only, noise half shared": Case(World(effects=_MORE), Confidence(noise=0.5, shared=0.5)),
    "recognition only, softer logits": Case(World(effects=_MORE), Confidence(slope=0.6)),
    "recognition only, shifted logits": Case(World(effects=_MORE), Confidence(shift=-1.0)),
    "recognition only, twice the gain": Case(World(effects=(0.0, 2 * GAIN))),
    "recognition only, informative heavy sizes": Case(World(effects=_MORE, sizes="heavy", informative=0.3)),
    "recognition and 0.04 beyond it": Case(World(effects=_MORE), direct=0.04),
}


def recognition_rows(num: int) -> Iterator[list[object]]:
    """Yield how often a difference is claimed: unadjusted, at equal recognition, and beyond shares of the unadjusted one."""
    for name, case in CASES.items():
        rng = np.random.default_rng(6)
        found = np.array([_judged(case, rng) for _ in range(num)])
        yield [name, *found.mean(axis=0).tolist()]


def _judged(case: Case, rng: np.random.Generator) -> list[float]:
    """Return both estimates of one table, and the claims based on them."""
    tables = draw(case.world, 1, rng)
    scores = Arms(tables.scores[1] + case.direct, tables.scores[0])
    regions = Regions(tables.patient, np.zeros_like(tables.patient))
    unadjusted = effect_of(run_means(scores.arm - scores.reference, regions, "patients"))
    found = at_equal_recognition(scores, _confidence(case.confidence, tables, rng), regions, "patients")
    assert found is not None  # every score is defined, and there are several seeds
    p_values = [unadjusted.p_value(), *(found.p_value(guard) for guard in GUARDS)]
    return [unadjusted.estimate, found.effect.estimate, *(float(p < 0.05) for p in p_values)]


def _confidence(kind: Confidence, tables: Tables, rng: np.random.Generator) -> Arms:
    """Return the standardised confidence of both arms."""
    common = kind.shared * rng.normal(0, 1, len(tables.patient))
    unclear = rng.normal(-2, 1, _NEGATIVES)
    arms = []
    for arm, clarity in enumerate(tables.clarity):
        slope, shift = (kind.slope, kind.shift) if arm else (1.0, 0.0)
        arms.append(np.stack([_of_run(kind, own, common, unclear, (slope, shift), rng) for own in clarity]))
    return Arms(arms[1], arms[0])


def _of_run(
    kind: Confidence,
    clarity: Floats,
    common: Floats,
    unclear: Floats,
    line: tuple[float, float],
    rng: np.random.Generator,
) -> Floats:
    slope, shift = line
    logit = slope * (clarity + common + kind.noise * rng.normal(0, 1, len(clarity))) + shift
    negatives = slope * (unclear + kind.noise * rng.normal(0, 1, len(unclear))) + shift
    return standardised(logit, negatives)
