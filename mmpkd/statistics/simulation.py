"""How often the statistics of a study are right, on simulated per-ROI tables whose truth is known.

Run: python -m mmpkd.statistics.simulation [--tables 2000]

Prints one row a setting: how often the 95 % interval covers the true difference; how often a difference is claimed where
there is none; how often a true difference is found, of the size that is said to be found with a probability of 80 %; and how
often equivalence is claimed where the true difference is the margin.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from mmpkd.statistics.effects import Effect, effect_of
from mmpkd.statistics.hypotheses import minimum_detectable_effect
from mmpkd.statistics.resampling import NUM_REPLICATES, Floats, cluster_sums, patient_bootstrap

Shape = Literal["normal", "skewed", "hits"]


@dataclass(frozen=True)
class Setting:
    """A kind of simulated table; standard deviations in units of the score.

    Attributes:
        seeds: Training runs S of each arm.
        patients: Patients P, with 1 to 4 ROIs each.
        seed_sd: Between runs.
        patient_sd: Between patients, the same in all runs.
        noise_sd: Of a run on a patient.
        shape: `normal`; `skewed`: patients and noise are exponential; `hits`: differences of hits and misses, -1, 0 or 1.
    """

    seeds: int
    patients: int
    seed_sd: float
    patient_sd: float
    noise_sd: float
    shape: Shape = "normal"


@dataclass(frozen=True)
class Rates:
    """How often the procedure did what, in [0, 1].

    Attributes:
        coverage: The 95 % interval covers the truth.
        false_positive: p < .05 where there is no difference.
        power: p < .05 where the difference is the one that is found with a probability of 80 %.
        false_equivalence: Equivalence is claimed where the difference is the margin.
    """

    coverage: float
    false_positive: float
    power: float
    false_equivalence: float


SETTINGS = (
    Setting(1, 200, 0.0, 0.2, 0.2),
    Setting(1, 200, 0.0, 0.2, 0.2, "skewed"),
    Setting(1, 200, 0.03, 0.2, 0.2),
    Setting(2, 200, 0.03, 0.2, 0.2),
    Setting(3, 200, 0.03, 0.2, 0.2),
    Setting(5, 200, 0.03, 0.2, 0.2),
    Setting(5, 200, 0.0, 0.2, 0.2),
    Setting(5, 200, 0.0, 0.0, 0.3),
    Setting(5, 200, 0.10, 0.1, 0.2),
    Setting(5, 200, 0.03, 0.2, 0.2, "skewed"),
    Setting(5, 200, 0.03, 0.2, 0.2, "hits"),
    Setting(5, 30, 0.03, 0.2, 0.2),
    Setting(5, 30, 0.03, 0.2, 0.2, "skewed"),
    Setting(10, 400, 0.03, 0.2, 0.2),
)


def simulate(setting: Setting, num_tables: int, num_replicates: int = NUM_REPLICATES, seed: int = 0) -> Rates:
    """Draw tables without a difference, and count what the procedure says of them and of the same tables moved.

    A difference that is added to every ROI moves estimate and interval alike, so one table serves for coverage, false positives,
    power and equivalence.

    Args:
        setting: What the tables are like.
        num_tables: Number of tables.
        num_replicates: Resamples of the patients for each table.
        seed: Seed of the simulation.
    """
    rng = np.random.default_rng(seed)
    effects = []
    for _ in range(num_tables):
        values, patient = table(setting, rng)
        effects.append(effect_of(patient_bootstrap(cluster_sums(values, patient), num_replicates)))
    covers = [effect.interval().low <= 0 <= effect.interval().high for effect in effects]
    found = [effect.p_value() < 0.05 for effect in effects]
    # what the study would find with a probability of 80 %, from standard errors of other tables than the one that is tested
    difference = float(np.median([minimum_detectable_effect(effect) for effect in effects]))
    shown = [effect.p_value(-difference) < 0.05 for effect in effects]
    margin = 3 * float(np.median([effect.error for effect in effects]))
    equivalent = [_equivalent_after(effect, margin) for effect in effects]
    return Rates(
        coverage=float(np.mean(covers)),
        false_positive=float(np.mean(found)),
        power=float(np.mean(shown)),
        false_equivalence=float(np.mean(equivalent)),
    )


def _equivalent_after(effect: Effect, margin: float) -> bool:
    """Return whether equivalence is claimed once the true difference is the margin: the estimate is moved, the margin not."""
    # moving the estimate by the margin is moving both bounds by its opposite
    upper = effect.p_value(0.0, "less")
    lower = effect.p_value(-2 * margin, "greater")
    return max(upper, lower) < 0.05


def table(setting: Setting, rng: np.random.Generator) -> tuple[Floats, "np.ndarray[tuple[int], np.dtype[np.int64]]"]:
    """Return differences (S, N) without a true difference, and the patient (N,) of each ROI."""
    counts = rng.integers(1, 5, setting.patients)
    patient = np.repeat(np.arange(setting.patients), counts)
    runs = rng.normal(0, setting.seed_sd, (setting.seeds, 1))
    if setting.shape == "hits":
        return _hits(setting, runs, patient, rng), patient
    own = _draw(setting, rng, setting.patients) * setting.patient_sd
    noise = _draw(setting, rng, (setting.seeds, setting.patients)) * setting.noise_sd
    rois = rng.normal(0, setting.noise_sd, (setting.seeds, len(patient)))
    return runs + (own + noise)[:, patient] + rois, patient


def _draw(setting: Setting, rng: np.random.Generator, shape: int | tuple[int, int]) -> Floats:
    return rng.exponential(1, shape) - 1 if setting.shape == "skewed" else rng.normal(0, 1, shape)


def _hits(
    setting: Setting, runs: Floats, patient: "np.ndarray[tuple[int], np.dtype[np.int64]]", rng: np.random.Generator
) -> Floats:
    """Two arms that hit with the same probability up to the deviation of a run; patients are easy or hard for both."""
    easy = np.clip(0.5 + rng.normal(0, setting.patient_sd, setting.patients), 0.05, 0.95)[patient]
    size = (setting.seeds, len(patient))
    arm = rng.random(size) < np.clip(easy + runs / 2, 0, 1)
    reference = rng.random(size) < np.clip(easy - runs / 2, 0, 1)
    return arm.astype(np.float64) - reference


def main(argv: Sequence[str] | None = None) -> None:
    """Print the rates of all settings as a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", type=int, default=2000)
    tables = parser.parse_args(argv).tables
    names = (
        "seeds",
        "patients",
        "sd between seeds / patients / noise",
        "shape",
        "coverage",
        "false positives",
        "power",
    )
    _row(*names, "false equivalence")
    _row(*["---"] * 8)
    for setting in SETTINGS:
        rates = simulate(setting, tables)
        sds = f"{setting.seed_sd} / {setting.patient_sd} / {setting.noise_sd}"
        shown = (rates.coverage, rates.false_positive, rates.power, rates.false_equivalence)
        _row(setting.seeds, setting.patients, sds, setting.shape, *(f"{value:.3f}" for value in shown))
    errors = (np.sqrt(rate * (1 - rate) / tables) for rate in (0.05, 0.8))
    sys.stdout.write("\nMonte Carlo standard error of a rate of .05: {:.3f}; of .80: {:.3f}.\n".format(*errors))


def _row(*cells: object) -> None:
    sys.stdout.write(f"| {' | '.join(map(str, cells))} |\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
