"""How the report calls scores, baseline maps and methods."""

from mmpkd.attribution import BASELINE_MAPS
from mmpkd.statistics.effects import IntervalMethod
from mmpkd.statistics.estimands import Average
from mmpkd.statistics.recognition import GUARD, Beyond
from mmpkd.study.plan.questions import Measure, Unit

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
    "added": "over seeds and over patients, half-widths added as squares",
    "patients": "over patients, about these two runs only (jackknife)",
    "seeds": "t over seeds",
}
AVERAGE_NAMES: dict[Average, str] = {
    "patients": "mean over patients",
    "findings": "mean over findings",
    "regions": "mean over regions",
}
UNIT_NAMES: dict[Unit, str] = {"finding": "regions of one finding", "image": "all regions of an image together"}
INSTRUMENT = "recognition (the other seeds' confidence as instrument)"
BEYOND_NAMES: dict[Beyond, str] = {
    "beyond": "There is a difference beyond recognition.",
    "not shown": f"No difference beyond recognition, and beyond {100 * GUARD:.0f} % of the unadjusted one, is shown.",
    "no claim": "Fewer than three seeds: no claim.",
    "cannot be told": "Runs have too little confidence in common to tell.",
}


def measure_name(measure: Measure) -> str:
    """Return what was measured, in words."""
    name = f"{SCORE_NAMES.get(measure.score, measure.score)} of {measure.attribution.replace('_', ' ')}"
    return f"{name} on {UNIT_NAMES[measure.unit]}" if measure.unit == "image" else name
