"""Calibration of the arms: how often is a finding there when a student says so?"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mmpkd.statistics.arrays import Floats, as_codes
from mmpkd.statistics.estimands import Regions
from mmpkd.statistics.resampling import resampled_weights
from mmpkd.statistics.weighted_scores import calibration_bin
from mmpkd.study.analysis.difference import Difference, difference
from mmpkd.study.analysis.pairing import stacked_predictions, targets_of
from mmpkd.study.analysis.run_tables import RunTables, tables_by_arm
from mmpkd.study.report.figures import ARM_COLORS, GREY, MARKERS, WIDTH, plain_axes, save

NUM_BINS = 10
NUM_REPLICATES = 500
# a frequency of fewer predictions is left out of the figure
_FEWEST = 10


@dataclass(frozen=True)
class ReliabilityBin:
    """Predictions of about the same probability.

    Attributes:
        num: Their number, over findings and seeds.
        predicted: Their mean probability.
        frequency: How often the finding was there.
        low: Lower end of its 95 % interval over patients; NaN where it is not defined.
        high: Upper end.
    """

    num: int
    predicted: float
    frequency: float
    low: float
    high: float


@dataclass(frozen=True)
class Reliability:
    """The calibration of an arm.

    Attributes:
        arm: Name of the arm.
        bins: Bins of equal width that hold a prediction, from low to high.
        excess: Mean probability minus frequency, with its interval: above 0 for an arm that says too often that a finding is
            there.
    """

    arm: str
    bins: tuple[ReliabilityBin, ...]
    excess: Difference


@dataclass(frozen=True)
class ReliabilityPart:
    """The part of a report about calibration.

    Attributes:
        arms: The arms.
        figure: Reliability diagram, as an SVG element.
    """

    arms: tuple[Reliability, ...]
    figure: str


def reliability_part(tables: Sequence[RunTables], arms: Sequence[str], figures: Path, prefix: str) -> ReliabilityPart:
    """Return the calibration of arms over all findings and seeds, and write its figure.

    Args:
        tables: Runs of students on one test set.
        arms: Names of their arms, in order.
        figures: Folder of the figures.
        prefix: Test set or domain in the name of the figure, or "".
    """
    by_arm = tables_by_arm(tables, arms)
    found = tuple(_reliability(arm, own) for arm, own in by_arm.items())
    return ReliabilityPart(found, save(_figure(found), figures / f"{prefix}reliability"))


def _reliability(arm: str, tables: Sequence[RunTables]) -> Reliability:
    preds = stacked_predictions(tables)
    target = np.broadcast_to(targets_of(tables[0]), preds.shape)
    patient = as_codes(tables[0].predictions["patient_id"].tolist())
    num_images, num_findings = preds.shape[1:]
    # every prediction counts once, as it does in the diagram
    cells = Regions(np.repeat(patient, num_findings), np.tile(np.arange(num_findings), num_images))
    excess = difference(arm, (preds - target).reshape(len(preds), -1), cells, "regions")
    return Reliability(arm, tuple(_bins(preds, target, patient)), excess)


def _bins(preds: Floats, target: Floats, patient: NDArray[np.int64]) -> Iterator[ReliabilityBin]:
    """Yield the bins of predictions and targets (S, N, K) of the images (N,) of patients."""
    stated = ~np.isnan(target)
    place = np.broadcast_to(patient[None, :, None], preds.shape)[stated]
    own = preds[stated]
    positive = target[stated]
    index = calibration_bin(own, NUM_BINS)
    weights = resampled_weights(int(patient.max()) + 1, NUM_REPLICATES, 0)
    for k in range(NUM_BINS):
        chosen = index == k
        if not chosen.any():
            continue
        size = weights.shape[1]
        count = weights @ np.bincount(place[chosen], minlength=size)
        hits = weights @ np.bincount(place[chosen], positive[chosen], size)
        frequencies = hits[count > 0] / count[count > 0]
        low, high = np.quantile(frequencies, (0.025, 0.975)) if len(np.unique(place[chosen])) > 1 else (np.nan, np.nan)
        yield ReliabilityBin(
            int(chosen.sum()), float(own[chosen].mean()), float(positive[chosen].mean()), float(low), float(high)
        )


def _figure(arms: Sequence[Reliability]) -> Figure:
    title = f"Reliability diagram: frequency of a finding against its predicted probability, {', '.join(own.arm for own in arms)}"
    figure = Figure(figsize=(WIDTH, 3.6), layout="constrained", label=title)
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle="--", zorder=0, label="calibrated")
    for position, own in enumerate(arms):
        bins = [part for part in own.bins if part.num >= _FEWEST]
        color = ARM_COLORS[position % len(ARM_COLORS)]
        marker = MARKERS[position % len(MARKERS)]
        x = [part.predicted for part in bins]
        axes.vlines(x, [part.low for part in bins], [part.high for part in bins], color=color, linewidth=1)
        axes.plot(x, [part.frequency for part in bins], marker=marker, markersize=4, color=color, label=own.arm)
    axes.set(xlim=(0, 1), ylim=(0, 1))
    plain_axes(axes, "predicted probability", "frequency of the finding")
    axes.legend(frameon=False)
    return figure
