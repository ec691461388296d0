"""The report's names for scores, baseline maps and methods."""

from mmpkd.attribution import BASELINE_MAPS
from mmpkd.records.unit import Unit
from mmpkd.statistics.effects import IntervalMethod
from mmpkd.statistics.estimands import Average
from mmpkd.statistics.recognition import GUARD, Beyond
from mmpkd.study.plan.questions import Measure
from mmpkd.study.plan.study_plan import Aspect

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
    "added": "over seeds and over patients, half-widths added in quadrature",
    "patients": "over patients (jackknife), for these two runs only",
    "seeds": "Student's t over seeds",
}
AVERAGE_NAMES: dict[Average, str] = {
    "patients": "mean over patients",
    "findings": "mean over findings",
    "regions": "mean over regions",
}
UNIT_NAMES: dict[Unit, str] = {"finding": "regions of one finding", "image": "all regions of an image together"}
# the unit of a measure as part of a sentence
SCORED: dict[Unit, str] = {
    "finding": "each finding scored separately",
    "image": "all regions of an image scored together",
}
ASPECT_NAMES: dict[Aspect, str] = {
    "data": "training data or privileged input",
    "code": "code",
    "budget": "training budget",
}
INSTRUMENT = "recognition (instrument: confidence of the other seeds)"
BEYOND_NAMES: dict[Beyond, str] = {
    "beyond": "There is a difference beyond recognition.",
    "not shown": f"No difference beyond recognition (and {100 * GUARD:.0f} % of the unadjusted difference) is shown.",
    "no claim": "No claim from fewer than three seeds.",
    "cannot be told": "The runs' confidences agree too little to tell.",
}


def score_name(measure: Measure) -> str:
    """Return the score and the attribution in words."""
    return f"{SCORE_NAMES.get(measure.score, measure.score)} of {measure.attribution.replace('_', ' ')}"


def measure_name(measure: Measure) -> str:
    """Return score, attribution and unit in words; the unit only if it is not the usual one."""
    name = score_name(measure)
    return f"{name} on {UNIT_NAMES[measure.unit]}" if measure.unit == "image" else name
