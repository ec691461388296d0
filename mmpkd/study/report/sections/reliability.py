"""Calibration of the arms: how often is a finding present when a student predicts it?"""

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
# bins with fewer predictions are too noisy to draw
_FEWEST = 10


@dataclass(frozen=True)
class ReliabilityBin:
    """A bin of predictions with similar probabilities.

    Attributes:
        num: Number of predictions, over findings and seeds.
        predicted: Mean predicted probability.
        frequency: Share of the predictions whose finding is present.
        low: Lower end of the 95 % interval of `frequency` over patients; NaN where it is undefined.
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
        bins: Bins of equal width that are not empty, from low to high.
        excess: Mean predicted probability minus frequency, with its interval; above 0 for an overconfident arm.
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
    """Compute the calibration of arms over all findings and seeds, and draw the figure.

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
    """Yield the bins that are not empty.

    Args:
        preds: (S, N, K) predicted probabilities.
        target: (S, N, K) targets.
        patient: (N,) patient of each image.
    """
    is_known = ~np.isnan(target)
    # the M known labels, (M,) each
    patient_of = np.broadcast_to(patient[None, :, None], preds.shape)[is_known]
    own = preds[is_known]
    positive = target[is_known]
    index = calibration_bin(own, NUM_BINS)
    weights = resampled_weights(int(patient.max()) + 1, NUM_REPLICATES, 0)  # (R, P)
    for k in range(NUM_BINS):
        chosen = index == k
        if not chosen.any():
            continue
        size = weights.shape[1]
        patients = patient_of[chosen]
        count = weights @ np.bincount(patients, minlength=size)  # (R,) predictions in the bin
        hits = weights @ np.bincount(patients, positive[chosen], size)  # (R,) of them with the finding
        frequencies = hits[count > 0] / count[count > 0]
        low, high = np.quantile(frequencies, (0.025, 0.975)) if len(np.unique(patients)) > 1 else (np.nan, np.nan)
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
