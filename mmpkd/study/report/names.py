"""How the report calls scores and baseline maps."""

from mmpkd.attribution import BASELINE_MAPS

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


def measure_name(score: str, attribution: str) -> str:
    """Return what was measured, in words."""
    return f"{SCORE_NAMES.get(score, score)} of {attribution.replace('_', ' ')}"
