"""How the report calls scores, baseline maps and methods."""

from mmpkd.attribution import BASELINE_MAPS
from mmpkd.statistics.intervals import IntervalMethod
from mmpkd.statistics.matching import Held
from mmpkd.study.plan.study_plan import Measure

BASELINE_TITLES = {kind.name: kind().title for kind in BASELINE_MAPS}
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

CLASSIFICATION_NAMES = {"auroc": "AUROC", "auprc": "AUPRC", "ece": "ECE"}
INTERVAL_NAMES: dict[IntervalMethod, str] = {
    "crossed": "Student's t, seeds and patients crossed",
    "seeds": "t over seeds",
    "bca": "BCa bootstrap over patients",
    "bc": "BC bootstrap over patients",
}
HELD_EQUAL: dict[Held, str] = {
    "confidence": "confidence in the finding (regression over ROIs)",
    "recognition": "recognised by both arms (subset of ROIs)",
    "macro_auroc": "macro AUROC (regression over runs)",
}
EXTRAPOLATED = "The arms' AUROCs do not overlap: the line is extrapolated."


def measure_name(measure: Measure) -> str:
    """Return what was measured, in words."""
    return f"{SCORE_NAMES.get(measure.score, measure.score)} of {measure.attribution.replace('_', ' ')}"
