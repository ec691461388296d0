"""Recognition: the difference in AUROC between two arms, by finding."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmpkd.statistics.arrays import Floats, as_codes
from mmpkd.statistics.auroc import auroc_differences
from mmpkd.statistics.effects import Effect
from mmpkd.statistics.weighted_scores import weighted_auroc
from mmpkd.study.analysis.pairing import check_same_images, stacked_predictions, targets_of
from mmpkd.study.analysis.scores import ALL
from mmpkd.study.report.figures import Estimate, forest, save
from mmpkd.study.report.sections.pairs import Pair


@dataclass(frozen=True)
class AurocRow:
    """The AUROC of one finding in two arms.

    Attributes:
        finding: Finding, or `all` for the mean over findings.
        arm: AUROC of the arm, mean over seeds; NaN for a finding without positives or negatives.
        reference: AUROC of the reference, likewise.
        effect: Difference, paired by image and seed.
        num_positive: Images with the finding.
        num_negative: Images without it.
    """

    finding: str
    arm: float
    reference: float
    effect: Effect
    num_positive: int
    num_negative: int


@dataclass(frozen=True)
class AurocPart:
    """The part of a report about the AUROC of two arms.

    Attributes:
        pair: The arms.
        rows: The mean over findings, and each finding.
        figure: The differences, as an SVG element.
    """

    pair: Pair
    rows: tuple[AurocRow, ...]
    figure: str


def auroc_part(pair: Pair, figures: Path, prefix: str) -> AurocPart:
    """Compare the AUROC of two arms by finding, with intervals over seeds and patients, and draw the figure.

    Args:
        pair: The arms.
        figures: Folder of the figures.
        prefix: Test set or domain in the name of the figure, or "".

    Raises:
        StudyError: If the arms predicted different images.
    """
    check_same_images([*pair.arm_runs, *pair.reference_runs])
    first = pair.reference_runs[0]
    target = targets_of(first)  # (N, K)
    arm = stacked_predictions(pair.arm_runs)  # (S, N, K)
    reference = stacked_predictions(pair.reference_runs)  # (S, N, K)
    patient = as_codes(first.predictions["patient_id"].tolist())
    own, other = (_aurocs(preds, target) for preds in (arm, reference))
    positive = (target == 1).sum(axis=0)
    negative = (target == 0).sum(axis=0)
    effects, mean = auroc_differences(arm, reference, target, patient)
    rows = [
        AurocRow(name, own[k], other[k], effects[k], int(positive[k]), int(negative[k]))
        for k, name in enumerate(first.test.label_names)
    ]
    # both arms have the same targets, so the same findings are undefined
    scored = ~np.isnan(own)
    if len(rows) > 1 and scored.any():
        means = float(own[scored].mean()), float(other[scored].mean())
        rows.insert(0, AurocRow(ALL, *means, mean, int(positive.sum()), int(negative.sum())))
    title = f"Difference in AUROC by finding, with 95 % intervals: {pair.label}"
    estimates = [
        Estimate(
            f"{row.finding} (n = {row.num_positive})" if row.finding != ALL else ALL, row.effect, row.finding == ALL
        )
        for row in rows
    ]
    figure = save(forest(estimates, f"AUROC, {pair.label}", title), figures / f"{prefix}auroc_{pair.name}")
    return AurocPart(pair, tuple(rows), figure)


def _aurocs(preds: Floats, target: Floats) -> Floats:
    """Return the AUROC (K,) of each finding, as the mean over S runs (S, N, K); NaN where it is undefined."""
    means = np.full(target.shape[1], np.nan)
    for k in range(target.shape[1]):
        is_known = ~np.isnan(target[:, k])
        positive = target[is_known, k] > 0.5
        if positive.any() and not positive.all():
            once = np.ones((1, len(positive)))  # every image counts once: no bootstrap here
            means[k] = np.mean([weighted_auroc(run[is_known, k], positive, once)[0] for run in preds])
    return means
