"""The answer of a study: its primary endpoint with an interval, in numbers and in one sentence."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmpkd.study.auroc_bootstrap import auroc_differences
from mmpkd.study.plan import Primary
from mmpkd.study.results import RunTables, paired_differences, stacked_predictions
from mmpkd.study.statistics import (
    MIN_SEEDS,
    SINGLE_SEED,
    Floats,
    Interval,
    Verdict,
    as_codes,
    cluster_sums,
    interval_of,
    paired_effect_size,
    t_interval,
    verdict,
)

TRIVIAL = {
    "all_ones": "All-ones map",
    "random": "Random map",
    "center_gaussian": "Centre Gaussian",
    "image_intensity": "Image intensity",
    "mean_roi": "Mean ROI",
}
SCORE_NAMES = {
    "pointing_game": "pointing game",
    "iou_top_area": "IoU (top area)",
    "iou_otsu": "IoU (Otsu)",
    "iou_val": "IoU (tuned on validation)",
    "miou": "mIoU",
    "relevance_mass": "relevance mass",
    "relevance_rank": "relevance rank",
    "pixel_auroc": "pixel AUROC",
    "pixel_ap": "pixel AP",
    "cnr": "CNR",
}


@dataclass(frozen=True)
class Difference:
    """A difference between two arms.

    Attributes:
        finding: Finding, or `all`.
        estimate: Mean paired difference.
        interval: 95 % interval.
        num_rois: ROI pairs.
        num_patients: Their patients.
        num_undefined: Differences left out because a score is undefined, over all seeds.
    """

    finding: str
    estimate: float
    interval: Interval
    num_rois: int
    num_patients: int
    num_undefined: int


@dataclass(frozen=True)
class Endpoint:
    """The primary endpoint.

    Attributes:
        primary: As declared.
        overall: Over all findings.
        by_finding: For each finding, if there are several; exploratory.
        seed_means: Mean difference of each seed.
        over_seeds: t-interval over the seeds, for this test set only.
        effect_size: Standardised mean of the seeds' differences.
        verdict: Judgement by the interval.
        auroc: Difference in macro AUROC, to read localization against.
        levels: Mean score of the arm and of its reference.
        trivial: Name and mean score of the best predictor that sees no student, or None if none was scored.
    """

    primary: Primary
    overall: Difference
    by_finding: tuple[Difference, ...]
    seed_means: tuple[float, ...]
    over_seeds: Interval
    effect_size: float
    verdict: Verdict
    auroc: Difference
    levels: tuple[float, float]
    trivial: tuple[str, float] | None

    @property
    def num_seeds(self) -> int:
        """Number of training runs of each arm."""
        return len(self.seed_means)


def primary_endpoint(primary: Primary, arm: Sequence[RunTables], reference: Sequence[RunTables]) -> Endpoint:
    """Compute the primary endpoint from the finished runs of two arms.

    Raises:
        StudyError: If there is nothing to compare.
    """
    frame = paired_differences(arm, reference, primary.attribution, primary.score)
    values = frame.to_numpy(dtype=np.float64).T
    patient = as_codes(frame.index.get_level_values("patient_id").tolist())
    finding = frame.index.get_level_values("finding").to_numpy()
    sums = cluster_sums(values, patient)
    names = sorted(set(finding))
    # of a single finding the difference is the overall one
    names = names if len(names) > 1 else []
    by_finding = tuple(_difference(name, values[:, finding == name], patient[finding == name]) for name in names)
    return Endpoint(
        primary=primary,
        overall=_difference("all", values, patient),
        by_finding=by_finding,
        seed_means=tuple(sums.seed_means.tolist()),
        over_seeds=t_interval(sums.seed_means),
        effect_size=paired_effect_size(sums.seed_means),
        verdict=verdict(interval_of(sums), interval_of(sums, 0.90), primary.margin),
        auroc=_auroc_difference(arm, reference, [int(seed) for seed in frame.columns]),
        levels=(_level(arm, primary.attribution, primary.score), _level(reference, primary.attribution, primary.score)),
        trivial=_best_trivial(reference, primary.score),
    )


def _level(tables: Sequence[RunTables], attribution: str, score: str) -> float:
    """Return the mean of a score over the ROIs and runs of an arm; NaN if the arm has no such read-out."""
    frames = [table.rois for table in tables if table.rois is not None]
    return float(np.mean([frame.loc[frame["attribution"] == attribution, score].mean() for frame in frames]))


def _best_trivial(tables: Sequence[RunTables], score: str) -> tuple[str, float] | None:
    levels = {name: _level(tables, name, score) for name in TRIVIAL}
    known = {name: level for name, level in levels.items() if not np.isnan(level)}
    return max(known.items(), key=lambda item: item[1]) if known else None


def _difference(name: str, values: Floats, patient: NDArray[np.int64]) -> Difference:
    patients = np.unique(patient, return_inverse=True)
    num_rois, num_patients = values.shape[1], len(patients[0])
    if np.isnan(values).all(axis=1).any():
        nothing = Interval(np.nan, np.nan, "not defined")
        return Difference(name, np.nan, nothing, num_rois, num_patients, int(np.isnan(values).sum()))
    sums = cluster_sums(values, patients[1])
    return Difference(name, sums.mean, interval_of(sums), num_rois, num_patients, sums.num_undefined)


def _auroc_difference(arm: Sequence[RunTables], reference: Sequence[RunTables], seeds: list[int]) -> Difference:
    chosen = [[table for seed in seeds for table in tables if table.run.seed == seed] for tables in (arm, reference)]
    target = stacked_predictions([*chosen[0], *chosen[1]], "target")[0]
    patient = as_codes(chosen[1][0].predictions["patient_id"].tolist())
    preds = [stacked_predictions(tables, "probability") for tables in chosen]
    found = auroc_differences(preds[0], preds[1], target, patient)
    estimate = found.bootstrap().estimate
    return Difference("all", estimate, found.interval(), len(patient), int(patient.max()) + 1, 0)


def answer(endpoint: Endpoint) -> str:
    """Return the answer with its interval, plain about one seed, about nothing shown, and about looking nowhere."""
    primary, overall = endpoint.primary, endpoint.overall
    measure = SCORE_NAMES.get(primary.score, primary.score)
    size = f"{overall.estimate:+.3f} (95 % interval {overall.interval.low:+.3f} to {overall.interval.high:+.3f})"
    seeds, counts = endpoint.num_seeds, f"{overall.num_rois} ROIs of {overall.num_patients} patients"
    what = f"{measure} of {primary.attribution.replace('_', ' ')}, {primary.arm} minus {primary.reference}"
    if seeds == 1:
        return f"{what}: {size} on {counts}, for one seed; {SINGLE_SEED}. {_against_chance(endpoint)}"
    scope = f"over {seeds} seeds and {counts}"
    claim = {
        "higher": f"{primary.arm.capitalize()} localizes better than {primary.reference}",
        "lower": f"{primary.arm.capitalize()} localizes worse than {primary.reference}",
        "equivalent": f"{primary.arm.capitalize()} and {primary.reference} localize equally well within the margin",
        "not shown": f"No difference in localization between {primary.arm} and {primary.reference} is shown",
    }[endpoint.verdict]
    few = f" Fewer than {MIN_SEEDS} seeds: read it as a hint." if seeds < MIN_SEEDS else ""
    absence = " Not shown is not the same as absent." if endpoint.verdict == "not shown" else ""
    return f"{claim}: {what}, {size}, {scope}.{absence}{few} {_against_chance(endpoint)}"


def _against_chance(endpoint: Endpoint) -> str:
    """Say how both arms do against a map that knows nothing of the image: a difference below it means little."""
    primary, (arm, reference) = endpoint.primary, endpoint.levels
    levels = f"{primary.arm} {arm:.3f}, {primary.reference} {reference:.3f}"
    if endpoint.trivial is None:
        return f"Levels: {levels}; no trivial map was scored."
    name, level = endpoint.trivial
    below = [who for who, value in ((primary.arm, arm), (primary.reference, reference)) if value <= level]
    warning = f" {' and '.join(below).capitalize()} did not beat a map that sees no student." if below else ""
    return f"Levels: {levels}, best trivial map ({TRIVIAL[name].lower()}) {level:.3f}.{warning}"
